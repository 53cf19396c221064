"""What there is to take off: the journal, and what stands in its way. One round trip."""

from dataclasses import dataclass
from typing import Any

from mlops_install.answer import Answer, understood
from mlops_install.errors import HostError, PreflightError
from mlops_install.host import Host
from mlops_install.journal import FILE, STATE, Entry, parse
from mlops_install.probe import ask
from mlops_install.removal.packages import QUERY, Package, read_packages
from mlops_install.resource import ABSENT
from mlops_install.sql import query, rows

UPGRADE = f"{STATE}/upgrade/state.json"
DROPPING = f"{STATE}/made/postgres-half-made"  # as resources/postgres.py calls it
UNITS = """\
systemctl list-units --all --plain --no-legend | cut -d' ' -f1
find /etc/systemd/system -type l -printf '%f\\n'
"""
TASKS = """\
select dag_id || '.' || task_id || ' of ' || run_id || ', since '
  || coalesce(to_char(start_date at time zone 'UTC', 'YYYY-MM-DD HH24:MI'), '?') || ' UTC' as task
  from task_instance where state = 'running' order by start_date
"""
# A cluster that we are making or dropping need not answer.
CLUSTERS = f"""\
ls -d /var/lib/postgresql/*/main/global/pg_control 2>/dev/null
ls {DROPPING} 2>/dev/null
true"""
TOPS = tuple(
    f"{path}/mlops" for path in ("/etc", "/opt", "/srv", "/var/cache", "/var/lib", "/var/log")
)
# What the purge of a package of PostgreSQL's server takes along, whoever made it.
MADE = "cd /etc/postgresql 2>/dev/null && ls -d */*/postgresql.conf 2>/dev/null; true"
# What the purge of nginx-common takes along, and no package brought.
STRANGERS = r"""
[ -d /etc/nginx ] || exit 0
find /etc/nginx ! -type d ! -path '*/sites-enabled/default' ! -path '*/modules-enabled/*' \
  ! -name '*.mlops-new' -print0 | LC_ALL=C xargs -0 -r dpkg -S 2>&1 >/dev/null |
  sed -n 's/^dpkg-query: no path found matching pattern //p'
true"""
DATABASES = "select datname as name, pg_get_userbyid(datdba) as owner from pg_database"


@dataclass(frozen=True)
class Found:
    """The journal and the server.

    `units`: names that systemd knows or starts at boot. `databases`: name -> owner, of the
    running PostgreSQL. `running`: the tasks that run, in words. `clusters`: version/name of those
    of PostgreSQL. `strangers`: files below /etc/nginx of no package.
    """

    entries: tuple[Entry, ...]
    packages: tuple[Package, ...]
    units: tuple[str, ...]
    running: tuple[str, ...]
    databases: dict[str, str]
    silent: bool
    """Whether there is a PostgreSQL cluster that does not answer."""
    installed: bool
    """Whether the server is marked as ours."""
    state: bool
    """Whether the folder of state is there."""
    clusters: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()


def find(host: Host) -> Found:
    """Ask the server. Raises `PreflightError` where an upgrade has not ended."""
    scripts = (
        f"cat {FILE} 2>/dev/null || exit {ABSENT}",
        f"[ -d {STATE} ] || exit {ABSENT}",
        f"[ -e {STATE}/installed ] || exit {ABSENT}",
        f"cat {UPGRADE} 2>/dev/null || exit {ABSENT}",
        QUERY,
        UNITS,
        query(TASKS, database="airflow").shell(),
        query(DATABASES).shell(),
        CLUSTERS,
        MADE,
        STRANGERS,
    )
    journal, state, installed, upgrade, *more = ask(host, scripts)
    if upgrade.code == 0:
        raise PreflightError(
            f"an upgrade is not finished: {UPGRADE} is there",
            fix="run `mlops-install apply` first, which ends it or goes back",
        )
    with understood("what there is to take off", "\n".join(each.text for each in more)):
        return _found(journal, state, installed, *more)


def _found(journal: Answer, state: Answer, installed: Answer, *more: Answer) -> Found:
    packages, units, tasks, databases, clusters, made, strangers = more
    return Found(
        entries=parse("\n".join(_lines(journal))),
        packages=read_packages("\n".join(_lines(packages, must=True))),
        units=tuple(sorted(set(_lines(units)))),
        running=tuple(row["task"] for row in _rows(tasks)),
        databases={row["name"]: row["owner"] for row in _rows(databases)},
        silent=not databases.text and _at_rest(_lines(clusters)),
        installed=installed.code == 0,
        state=state.code == 0,
        clusters=tuple(line.removesuffix("/postgresql.conf") for line in _lines(made)),
        strangers=_lines(strangers),
    )


def _at_rest(lines: tuple[str, ...]) -> bool:
    """Whether there are clusters, and none is being made or dropped."""
    return bool(lines) and all(line.endswith("/pg_control") for line in lines)


def _rows(answer: Answer) -> list[dict[str, Any]]:
    return rows(answer.text) if answer.code == 0 else []


def _lines(answer: Answer, *, must: bool = False) -> tuple[str, ...]:
    """The lines of an answer; none where the server or the database is not there to tell."""
    if must and answer.code != 0:
        raise HostError(
            "the server cannot tell its packages",
            detail=answer.error,
            fix="`dpkg --audit` on the server shows what is broken",
        )
    return tuple(answer.text.splitlines()) if answer.code == 0 else ()


def is_ours(path: str) -> bool:
    """Whether a folder is below one of ours; in others, such as /etc/nginx, packages have files."""
    return any(path == top or path.startswith(f"{top}/") for top in TOPS)
