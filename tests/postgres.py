"""A PostgreSQL of the tests' own."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlops_install.shell import as_user
from mlops_install.sql import OWNERS, SOCKETS, SUPERUSER
from mlops_server import database, sql
from mlops_server.layout import Layout
from mlops_server.person import Person
from mlops_server.upgrade import steps
from mlops_server.upgrade.state import Store

TOOLS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
NEEDED = pytest.mark.skipif(
    not TOOLS or os.geteuid() != 0, reason="needs root and PostgreSQL's server programs"
)


@contextmanager
def cluster() -> Iterator[None]:
    """It runs meanwhile; its socket is where psql looks."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        Path(folder).chmod(0o777)
        run = {"check": True, "user": "postgres", "cwd": folder, "stdout": subprocess.DEVNULL}
        data = f"{folder}/data"
        subprocess.run([TOOLS[-1] / "initdb", "-D", data, "-A", "trust"], **run)
        control = [TOOLS[-1] / "pg_ctl", "-D", data, "-w", "-l", f"{folder}/log"]
        options = f"-k {folder} -c listen_addresses='' -c fsync=off"
        subprocess.run([*control, "-o", options, "start"], **run)
        patch.setenv("PGHOST", folder)
        # Nobody here is called so: whoever runs the cluster stands for the owner of databases.
        patch.setattr(sql, "_person", lambda _: Person.named("postgres"))
        database.psql("create role airflow login")
        yield
        subprocess.run([*control, "-m", "immediate", "stop"], **run)


def store(folder: Path, tables: str) -> Store:
    """Airflow's database anew, with these tables, and a store for its upgrade."""
    for name in (database.NAME, steps.BEFORE, steps.FAILED):
        database.drop(name)
    database.create(database.NAME)
    database.psql(tables, database.NAME)
    (folder / "var/lib/mlops/upgrade").mkdir(parents=True)
    (folder / "var/lib/mlops/journal.jsonl").touch()
    return Store(Layout(folder))


def here(script: str) -> str:
    """A script that asks a server's PostgreSQL, for the one of the tests."""
    for owner in OWNERS.values():
        script = script.replace(as_user(owner), as_user(SUPERUSER))
        script = script.replace(f"~{owner}", f"~{SUPERUSER}")
    return script.replace(SOCKETS, os.environ["PGHOST"])
