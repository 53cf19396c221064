"""Debian packages."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mlops_install.resource import Resource, Run, Step
from mlops_install.shell import sh

CONFIGURE = """\
deadline=$((SECONDS + {timeout}))
until said=$(dpkg --configure -a --force-confdef --force-confold 2>&1); do
  pid=$(echo "$said" | sed -n 's/.* locked by another process with pid \\([0-9]*\\).*/\\1/p')
  [ -n "$pid" ] || {{ echo "$said"; exit 1; }}
  echo "apt is locked. It is held by process $pid ($(cat /proc/$pid/comm 2>/dev/null))"
  [ $SECONDS -lt $deadline ] || {{ echo "gave up after {timeout} s: apt is locked"; exit 1; }}
  sleep 3
done
echo "$said"
"""
UPDATE = """\
deadline=$((SECONDS + {timeout}))
until said=$({apt} update 2>&1); do
  case $said in
    *"Could not get lock"*) echo "$said" | grep -o 'It is held by.*' || true;;
    *) echo "$said"; exit 1;;
  esac
  [ $SECONDS -lt $deadline ] || {{ echo "gave up after {timeout} s: apt is locked"; exit 1; }}
  sleep 3
done
if echo "$said" | grep -q '^[EW]: Failed to fetch'; then echo "$said" >&2; fi
"""


@dataclass(frozen=True)
class PackagesState:
    """Package name -> dpkg's word for its state."""

    packages: Mapping[str, str]


@dataclass(frozen=True)
class Packages(Resource[PackagesState]):
    """All packages of all roles, in one apt call.

    `options` are further apt options; `lock_timeout` is in seconds.
    """

    names: tuple[str, ...]
    options: tuple[str, ...] = ()
    lock_timeout: int = 300

    @property
    def name(self) -> str:
        return "packages"

    @property
    def desired(self) -> PackagesState:
        return PackagesState(dict.fromkeys(self.names, "installed"))

    def probe(self) -> str:
        query = sh("dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\\n", *self.names)
        return f"{query} 2>/dev/null || true"

    def parse(self, answer: str) -> PackagesState:
        found = dict(line.split() for line in answer.splitlines() if line.strip())
        return PackagesState({name: found.get(name, "absent") for name in self.names})

    def change(self, current: PackagesState | None) -> Iterator[Step]:
        states = current.packages if current else {}
        missing = [name for name in self.names if states.get(name) != "installed"]
        yield Run(CONFIGURE.format(timeout=self.lock_timeout), "dpkg --configure -a")
        yield Run(UPDATE.format(apt=self._apt(), timeout=self.lock_timeout), "apt-get update")
        install = ("install", "-y", "-q", "--no-install-recommends", "--fix-broken")
        yield Run(f"{self._apt()} {sh(*install, *missing)}", sh("apt-get", *install, *missing))

    def _apt(self) -> str:
        dpkg = ("Dpkg::Options::=--force-confdef", "Dpkg::Options::=--force-confold")
        lock = f"DPkg::Lock::Timeout={self.lock_timeout}"
        options = (*dpkg, lock, "APT::Get::List-Cleanup=0", "Acquire::Retries=3", *self.options)
        return sh("apt-get", *(word for option in options for word in ("-o", option)))
