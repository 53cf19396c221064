"""The packages that came with us go."""

from collections.abc import Sequence

from mlops_install.journal import STATE
from mlops_install.removal.parts import Part
from mlops_install.resource import Run
from mlops_install.resources.packages import CONFIGURE
from mlops_install.shell import sh

LOCK_TIMEOUT = 300
OTHERS = """\
others=$(apt-get -s -q purge {names} | awk '/^(Remv|Purg|Inst) /{{print $2}}' | sort -u |
  comm -23 - <(printf '%s\\n' {names} | sort -u))
if [ -n "$others" ]; then echo apt would also change $others; exit 1; fi
"""
# systemd notes for each timer when it last came, and a purge leaves the note.
STAMPS = r"""
rm -f $(dpkg -L $names 2>/dev/null |
  sed -n 's|.*/systemd/system/\([^/]*\.timer\)$|/var/lib/systemd/timers/stamp-\1|p')
"""
# Not every package stops what it has started.
SERVICES = r"""
systemctl stop $(dpkg -L $names 2>/dev/null |
  sed -n 's|.*/systemd/system/\([^/@]*\.service\)$|\1|p') 2>/dev/null || true
"""
# Debian 13 has this link from the start, and the package locales removes it.
LOCALE = "/etc/default/locale"
STASH = f"{STATE}/default-locale"
KEEP_LOCALE = f"""\
if [ -L {LOCALE} ] || [ -e {LOCALE} ]; then
  [ -L {STASH} ] || [ -e {STASH} ] || cp -aT {LOCALE} {STASH}
fi
"""
LOCALE_BACK = f"""\
if [ -L {STASH} ] || [ -e {STASH} ]; then
  [ -L {LOCALE} ] || [ -e {LOCALE} ] || cp -aT {STASH} {LOCALE}
  rm -f {STASH}
fi
"""


def packages(names: Sequence[str]) -> Part:
    """Packages that came with us; apt is asked first whether it would touch anything else."""
    query = sh("dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\\n", *names)
    check = f"({query} 2>/dev/null || true) | awk '$2 != \"not-installed\" {{print $1}}'"
    options = f"-o DPkg::Lock::Timeout={LOCK_TIMEOUT} -o APT::Get::AutomaticRemove=false"
    there = f"names=$({check})"
    steps = (
        Run(CONFIGURE.format(timeout=LOCK_TIMEOUT), "dpkg --configure -a"),
        Run(f'{there}\nif [ -n "$names" ]; then\n{OTHERS.format(names="$names")}'
            f"{SERVICES}{STAMPS}{KEEP_LOCALE}"
            f"apt-get {options} -y -q purge $names\nfi\n{LOCALE_BACK}",
            title=f"apt-get purge {len(names)} packages"),
    )  # fmt: skip
    return Part("packages", check, steps)


def locale_setting() -> Part:
    """What a purge that was broken off had taken along."""
    return Part(LOCALE, f"[ ! -L {STASH} ] && [ ! -e {STASH} ] || echo {LOCALE}",
                (Run(LOCALE_BACK, title=f"put {LOCALE} back"),))  # fmt: skip
