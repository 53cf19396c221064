"""Runs of DAGs that were removed end with a reason: on a real PostgreSQL with Airflow's columns."""

import subprocess
from pathlib import Path

import postgres
import pytest
from mlops_install.render import render
from mlops_server import database

pytestmark = postgres.NEEDED
SCHEMA = """\
create table dag (dag_id text primary key, is_stale boolean not null);
create table dag_run (id serial primary key, dag_id text, run_id text, state text,
  last_scheduling_decision timestamptz, queued_at timestamptz, run_after timestamptz,
  end_date timestamptz, updated_at timestamptz);
create table task_instance (dag_id text, run_id text, task_id text, state text,
  end_date timestamptz, updated_at timestamptz);
create table dag_run_note (user_id text, dag_run_id int primary key references dag_run,
  content varchar(1000), created_at timestamptz not null, updated_at timestamptz not null);
insert into dag values ('gone', true), ('there', false);
"""


@pytest.fixture
def airflow(cluster) -> None:
    database.drop(database.NAME)
    database.create(database.NAME)
    database.psql(SCHEMA, database.NAME)


def run(dag: str, state: str, seen: str, **tasks: str | None) -> None:
    """A run that a scheduler looked at so long ago, and its tasks' states."""
    decided = f"now() - interval '{seen}'"
    before = f"'{dag}', '{dag}-{state}-{len(tasks)}'"
    database.psql(
        "insert into dag_run (dag_id, run_id, state, last_scheduling_decision, queued_at)"
        f" values ({before}, '{state}', {decided if state == 'running' else 'null'}, {decided})",
        database.NAME,
    )
    for name, found in tasks.items():
        value = "null" if found is None else f"'{found}'"
        database.psql(
            f"insert into task_instance values ({before}, '{name}', {value}, null)", database.NAME
        )


def end() -> list[str]:
    words = ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-v", "patience=180", "-d", database.NAME]
    done = subprocess.run(
        ["runuser", "-u", "postgres", "--", *words], input=render("airflow/lost-runs.sql"),
        capture_output=True, text=True, check=True, cwd="/",
    )  # fmt: skip
    return done.stdout.splitlines()


def states(query: str) -> dict[str, str]:
    rows = database.psql(query, database.NAME).splitlines()
    return {name: state for name, _, state in (row.partition("|") for row in rows)}


def test_a_run_of_a_dag_that_is_gone_is_failed_with_a_reason(airflow):
    run("gone", "running", "5 minutes", first="success", then=None, later="up_for_retry")
    run("gone", "queued", "5 minutes", first=None)
    assert end() == [
        "gone gone-queued-1: its DAG is gone, so the run is failed",
        "gone gone-running-3: its DAG is gone, so the run is failed",
    ]
    assert set(states("select run_id, state from dag_run").values()) == {"failed"}
    assert states("select task_id, state from task_instance where run_id = 'gone-running-3'") == {
        "first": "success", "then": "removed", "later": "removed",
    }  # fmt: skip
    notes = database.psql("select distinct content from dag_run_note", database.NAME)
    assert "its DAG was removed" in notes
    assert end() == []


def test_a_note_of_somebodys_is_kept(airflow):
    run("gone", "running", "5 minutes")
    database.psql("insert into dag_run_note values ('1', 1, 'mine', now(), now())", database.NAME)
    end()
    note = database.psql("select user_id, content from dag_run_note", database.NAME)
    assert note.startswith("1|Failed: ")
    assert note.strip().endswith(" mine")


@pytest.mark.parametrize(
    ("dag", "state", "seen", "task"),
    [
        ("there", "running", "5 minutes", None),
        ("gone", "running", "1 minute", None),
        ("gone", "running", "5 minutes", "running"),
        ("gone", "running", "5 minutes", "queued"),
        ("gone", "running", "5 minutes", "deferred"),
        ("gone", "success", "5 minutes", "success"),
    ],
)
def test_what_may_still_end_by_itself_is_left_alone(airflow, dag, state, seen, task):
    run(dag, state, seen, only=task)
    assert end() == []
    assert set(states("select run_id, state from dag_run").values()) == {state}


def test_the_files_that_the_watchdog_reads_are_installed():
    assert "/opt/mlops/bin/lost-runs.sql" in render("airflow/watchdog.sh")
    roles = (Path(__file__).parents[2] / "roles/airflow.py").read_text()
    assert '"/opt/mlops/bin/lost-runs.sql"' in roles
