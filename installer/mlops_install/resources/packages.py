"""Debian packages."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mlops_install.journal import STATE, prelude
from mlops_install.resource import Put, Resource, Run, Step
from mlops_install.shell import sh

GIVE_UP = """{{
    echo "gave up after {timeout} s: apt is locked"
    echo "fix: wait for the program that holds it, or set a larger apt_lock_timeout in [base]"
    exit 1
  }}"""
CONFIGURE = (
    """\
deadline=$((SECONDS + {timeout}))
until said=$(dpkg --configure -a --force-confdef --force-confold 2>&1); do
  pid=$(echo "$said" | sed -n 's/.* locked by another process with pid \\([0-9]*\\).*/\\1/p')
  [ -n "$pid" ] || {{ echo "$said"; exit 1; }}
  echo "apt is locked. It is held by process $pid ($(cat /proc/$pid/comm 2>/dev/null))"
  [ $SECONDS -lt $deadline ] || """
    + GIVE_UP
    + """
  sleep 3
done
echo "$said"
"""
)
# The lines of the sources that apt complains about: its messages name addresses, not files.
SOURCES = r"""
broken_sources() {
  local found
  found=$(echo "$said" | grep '^[EW]:' |
    sed -n "s/.*'\([a-z+]*:[^']*\)'.*/\1/p; s/.*Failed to fetch \([^ ]*\).*/\1/p" |
    sed 's|^cdrom:.*|cdrom:|; s|/dists/.*||; s|/* [^ ]* Release$||' | sort -u |
    while read -r address; do
      grep -rnF -- "${address%/}" /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null
    done | grep -v '^[^:]*:[0-9]*: *#' | sort -u)
  [ -n "$found" ] || return 0
  echo "apt cannot use this source of the server:"
  echo "$found"
  echo "fix: correct this line, or put a # before it: $(echo "$found" | head -n 1 | cut -d: -f1,2)"
}
"""
# A run calls apt twice and needs the lists once: the mark tells of which sources they are.
UPDATED = "/run/mlops-install/updated"
UPDATE = (
    """\
sources=$({{ cat /etc/apt/sources.list{{,.d/*}} /etc/mlops/apt.list || true; }} 2>/dev/null |
  sha256sum)
if [ "$(find {mark} -mmin -10 -exec cat '{{}}' + 2>/dev/null)" != "$sources" ]; then
  deadline=$((SECONDS + {timeout}))
  until said=$({apt} update 2>&1); do
    case $said in
      *"Could not get lock"*) echo "$said" | grep -o 'It is held by.*' || true;;
      *) echo "$said"; broken_sources; exit 1;;
    esac
    [ $SECONDS -lt $deadline ] || """
    + GIVE_UP
    + """
    sleep 3
  done
  if echo "$said" | grep -q '^[EW]: Failed to fetch'
  then echo "$said" >&2
  else mkdir -p "$(dirname {mark})"; echo "$sources" > {mark}
  fi
fi
"""
)

HOOK = f"{STATE}/note-packages"
# apt tells it what it will do, in format 2: name, version there or -, <, version to come, file.
HOOK_TEXT = f"""\
#!/bin/bash
# Notes in the journal which packages are new, before dpkg unpacks the first.
set -e -o pipefail
{prelude()}
sed '1,/^$/d' | while read -r name old _ new file; do
  case $file in \\*\\**) continue;; esac
  if [ "$old" = - ]; then note package "$name"
  elif [ "$old" != "$new" ] && ! journal_has package "$name" && ! journal_has upgraded "$name"; then
    journal_add upgraded "$name" "$old"
  fi
done
"""
BEFORE = f"{STATE}/accounts-before"
LIST = (
    "(getent passwd | awk -F: '$3 < 1000 {print \"package-user\", $1}';"
    " getent group | awk -F: '$3 < 1000 {print \"package-group\", $1}') | sort"
)
# Packages make these when they are installed, and what a package made is not a user's original.
# A purge of nginx leaves the page.
MADE = ("/var/www/html/index.nginx-debian.html", "/etc/default/locale")
LEFT_BEHIND = "\n".join(f"[ -e {p} ] || [ -L {p} ] || note file {p}" for p in MADE)
# What a run that was killed began is noted by the next one; one that fails notes it at its end, so
# that accounts which people make before the next run are not taken for the packages'.
ACCOUNTS = f"""\
[ -e {BEFORE} ] || {{ {LIST} > {BEFORE}.new; sync {BEFORE}.new; mv -fT {BEFORE}.new {BEFORE}; }}
note_accounts() {{
  [ -e {BEFORE} ] || return 0
  comm -13 {BEFORE} <({LIST}) | while read -r kind name; do
    journal_has "${{kind#package-}}" "$name" || note "$kind" "$name"
  done
  rm {BEFORE}
}}
trap note_accounts EXIT"""


@dataclass(frozen=True)
class PackagesState:
    """Package name -> dpkg's word for its state.

    `accounts_noted`: whether the journal has the users and groups that came with them.
    """

    packages: Mapping[str, str]
    accounts_noted: bool = True


@dataclass(frozen=True)
class Packages(Resource[PackagesState]):
    """Packages, in one apt call.

    `options` are further apt options; `lock_timeout` is in seconds; `title` names the call.
    """

    names: tuple[str, ...]
    options: tuple[str, ...] = ()
    lock_timeout: int = 300
    title: str = "packages"

    @property
    def name(self) -> str:
        return self.title

    @property
    def desired(self) -> PackagesState:
        return PackagesState(dict.fromkeys(self.names, "installed"))

    def probe(self) -> str:
        query = sh("dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\\n", *self.names)
        return f"{query} 2>/dev/null\n[ ! -e {BEFORE} ] || echo accounts open"

    def parse(self, answer: str) -> PackagesState:
        found = dict(line.split() for line in answer.splitlines() if line.strip())
        noted = found.pop("accounts", "") == ""
        return PackagesState({name: found.get(name, "absent") for name in self.names}, noted)

    def change(self, current: PackagesState | None) -> Iterator[Step]:
        states = current.packages if current else {}
        missing = [name for name in self.names if states.get(name) != "installed"]
        yield Put(HOOK, HOOK_TEXT.encode(), 0o755)
        yield Run(f"{LEFT_BEHIND}\n{ACCOUNTS}", title="note which system accounts there are")
        yield Run(CONFIGURE.format(timeout=self.lock_timeout), "dpkg --configure -a")
        # With a mirror of ours the server's own sources are not read.
        explain = "broken_sources() { true; }\n" if self.options else SOURCES
        update = UPDATE.format(apt=self._apt(), timeout=self.lock_timeout, mark=UPDATED)
        yield Run(explain + update, "apt-get update")
        install = ("install", "-y", "-q", "--no-install-recommends", "--fix-broken")
        yield Run(f"{self._apt()} {sh(*install, *missing)}", sh("apt-get", *install, *missing))
        yield Run("note_accounts", title="note which came with the packages")

    def _apt(self) -> str:
        dpkg = ("Dpkg::Options::=--force-confdef", "Dpkg::Options::=--force-confold")
        lock = f"DPkg::Lock::Timeout={self.lock_timeout}"
        note = (f"DPkg::Pre-Install-Pkgs::={HOOK}", f"DPkg::Tools::Options::{HOOK}::Version=2")
        options = (
            *dpkg,
            *note,
            lock,
            "APT::Get::List-Cleanup=0",
            "Acquire::Retries=3",
            "Acquire::Languages=none",
            *self.options,
        )
        return sh("apt-get", *(word for option in options for word in ("-o", option)))
