"""Old runs of our own DAGs are forgotten: on a real PostgreSQL with Airflow's own tables."""

import subprocess

import postgres
import pytest
from mlops_install import locks
from mlops_install.render import render
from mlops_install.settings import Airflow
from mlops_server import database

pytestmark = postgres.NEEDED
OURS, THEIRS = "mlops_pull", "sales"


@pytest.fixture(scope="module")
def tables():
    with postgres.cluster():
        database.create(database.NAME)
        dump = locks.dump(Airflow().version)
        database.psql(f"set role airflow;\n{dump}", database.NAME)
        yield


def ask(text: str) -> list[str]:
    return database.psql(text, database.NAME).split()


def run(dag: str, days: int, state: str = "success") -> str:
    """A run that began so many days ago, with a task, its result, its template and its event."""
    name, when = f"{dag}_{days}_{state}", f"now() - interval '{days} days'"
    key = f"'{dag}', '{name}', 'fetch'"
    ask(f"""
    insert into dag_run (dag_id, run_id, state, run_type, run_after)
      values ('{dag}', '{name}', '{state}', 'scheduled', {when});
    insert into task_instance (id, dag_id, run_id, task_id, try_number, pool, pool_slots)
      values (gen_random_uuid(), {key}, 1, 'default_pool', 1);
    insert into xcom (dag_run_id, dag_id, run_id, task_id, key, timestamp)
      select id, {key}, 'return_value', now() from dag_run where run_id = '{name}';
    insert into rendered_task_instance_fields (dag_id, run_id, task_id, rendered_fields)
      values ({key}, '{{}}');
    insert into log (dag_id, run_id, task_id, event, dttm) values ({key}, 'success', {when});
    """)
    return name


def forget() -> None:
    words = ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-v", "days=30", "-d", database.NAME]
    subprocess.run(
        ["runuser", "-u", "postgres", "--", *words], input=render("airflow/old-runs.sql"),
        text=True, check=True, cwd="/",
    )  # fmt: skip


def test_old_runs_of_ours_go_with_all_that_belongs_to_them_and_others_stay(tables):
    run(OURS, 31)
    run("mlops_canary", 400, "failed")
    stay = {run(OURS, 29), run(OURS, 400, "running"), run(OURS, 400, "queued"), run(THEIRS, 400)}
    forget()
    for table in ("dag_run", "task_instance", "xcom", "rendered_task_instance_fields"):
        assert set(ask(f"select run_id from {table}")) == stay, table
    assert set(ask("select run_id from log")) == {f"{OURS}_29_success", f"{THEIRS}_400_success"}


def test_a_backlog_goes_a_few_at_a_time(tables):
    ask(f"""insert into dag_run (dag_id, run_id, state, run_type, run_after)
      select '{OURS}', 'old' || n, 'success', 'scheduled', now() - interval '90 days'
      from generate_series(1, 250) n""")
    forget()
    assert ask("select count(*) from dag_run where run_id like 'old%'") == ["50"]
    forget()
    assert ask("select count(*) from dag_run where run_id like 'old%'") == ["0"]


def test_the_watchdog_runs_it():
    assert "/opt/mlops/bin/old-runs.sql" in render("airflow/watchdog.sh")
