"""What DAGs refer to on the server: pools and connections. By SQL, no Airflow process."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_server import jsontext, sql
from mlops_server.errors import EnvError
from mlops_server.layout import Layout
from mlops_server.workflows.refusals import TryAgain

SQL = """\
select 'pool' as kind, pool as name, slots from slot_pool
union all select 'connection', conn_id, 0 from connection"""
RUNNING = """\
select distinct bundle_version from dag_run
  where state in ('queued', 'running') and bundle_version is not null"""
THERE = "select to_regclass('dag_run') is not null as there"
VARIABLE = re.compile(r"AIRFLOW_CONN_(\w+)=")
MOST = 500
PATIENCE = 60.0


@dataclass(frozen=True)
class Known:
    """Pools by name, with their slots (-1: no limit), and the ids of connections."""

    pools: dict[str, int]
    connections: frozenset[str]


def airflow(layout: Layout) -> Path:
    """Airflow's interpreter, by its real folder: an upgrade may move the link meanwhile."""
    return (layout.root / "opt/mlops/airflow/current").resolve() / "bin/python"


def ask(layout: Layout) -> Known:
    """Ask the database, and the schedulers' variables. Raises `TryAgain`."""
    rows = _rows(SQL)
    pools = {row["name"]: row["slots"] for row in rows if row["kind"] == "pool"}
    connections = {row["name"] for row in rows if row["kind"] == "connection"}
    return Known(pools, frozenset(connections | _variables() | _in_file(layout)))


def running(layout: Layout) -> set[str]:
    """The names of releases that unfinished DAG runs are pinned to. Raises `TryAgain`."""
    if not airflow(layout).exists() or not _rows(THERE)[0]["there"]:
        return set()
    return {row["bundle_version"] for row in _rows(RUNNING)}


def _in_file(layout: Layout) -> set[str]:
    """Connections of the config."""
    path = layout.root / "etc/mlops/connections.json"
    return set(jsontext.loads(path.read_bytes())) if path.exists() else set()


def _variables() -> set[str]:
    """Connections that the schedulers get as AIRFLOW_CONN_<ID>; systemd knows the names."""
    words = ["systemctl", "show", "-p", "Environment", "airflow-scheduler@1.service"]
    shown = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    given = [*shown.split(), *(f"{name}=" for name in os.environ)]
    return {match[1].lower() for word in given if (match := VARIABLE.search(word))}


def _rows(query: str) -> list[dict[str, Any]]:
    with _asking():
        return sql.rows(query, "airflow", timeout=PATIENCE)


@contextmanager
def _asking() -> Iterator[None]:
    """A database that does not answer is no judgement on a commit."""
    try:
        yield
    except EnvError as error:
        raise TryAgain("Airflow's database does not answer", detail=error.detail) from error


def show_soon(release: Path) -> None:
    """Have the DAG processor read the release that just came into force now, not within 30 s.

    It looks for such requests all the time, and at the whole folder when it finds one.
    """
    found = (path for path in sorted((release / "dags").rglob("*.py")) if _may_hold_dags(path))
    names = [sql.literal(str(path.relative_to(release / "dags"))) for path in found]
    rows = ", ".join(f"(md5('workflows:' || {n}), 'workflows', {n})" for n in names[:MOST])
    if not rows:
        return
    statement = (
        "insert into dag_priority_parsing_request (id, bundle_name, relative_fileloc)"
        f" values {rows} on conflict do nothing"
    )
    with suppress(TryAgain, OSError), _asking():  # then it looks by itself
        sql.run(statement, "airflow", timeout=PATIENCE)


def _may_hold_dags(path: Path) -> bool:
    """What Airflow, too, tells DAG files from others by."""
    data = path.read_bytes().lower() if path.is_file() else b""
    return b"dag" in data and b"airflow" in data
