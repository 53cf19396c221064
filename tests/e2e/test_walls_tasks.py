"""A task has none of Airflow's keys, and cannot reach what has: each test is an attack."""

import secrets

import attacks
import pytest
from server import Server, wait_for

pytestmark = [
    pytest.mark.box,
    pytest.mark.slow,
    pytest.mark.parametrize("system", ["debian-13"]),
]


@pytest.fixture
def attacked(tasks: Server) -> Server:
    attacks.ready(tasks)
    return tasks


@pytest.mark.parametrize("name", list(attacks.ALL))
def test_a_task_gets_nothing(attacked: Server, name: str) -> None:
    assert attacks.run(attacked, attacks.ALL[name]) == []


def test_a_task_enters_its_own_database_only(attacked: Server) -> None:
    """PostgreSQL lets every role into the database postgres, which is empty."""
    entered = attacks.run(attacked, attacks.DATABASES)
    assert entered == [["mlops-task", "postgres"], ["mlops-task", "workflows"]]


def test_no_output_of_a_task_is_in_the_journal(attacked: Server) -> None:
    """Airflow masks secrets in a task's log, and would not do so here."""
    mark = f"mark-{secrets.token_hex(8)}"
    attacks.run(
        attacked, f"import sys; print('{mark}'); print('{mark}', file=sys.stderr); found = 0"
    )
    assert attacked.ssh(f"grep -rl {mark} /var/log/mlops/airflow"), "it is in the log"
    assert attacked.ssh(f"journalctl -q -g {mark} || true") == ""


def test_every_kind_of_task_works(attacked: Server) -> None:
    """Bash, deferred, mapped, spawned processes, a callback, and a large value passed on."""
    mark = secrets.token_hex(4)
    body = {"logical_date": None, "conf": {"mark": mark}}
    run = attacked.api("POST", "/api/v2/dags/walls_kinds/dagRuns", body)["dag_run_id"]
    state = f"select state from dag_run where dag_id = 'walls_kinds' and run_id = '{run}'"
    wait_for(lambda: attacked.sql(state) in ("success", "failed"), "the run", 180)
    folder = f"/srv/mlops/data/kinds-{mark}"
    logs = f"'/var/log/mlops/airflow/dag_id=walls_kinds/run_id={run}'/*/*.log"
    assert attacked.sql(state) == "success", attacked.ssh(f"tail -c 1500 {logs}")
    assert attacked.ssh(f"cat {folder}/user") == "mlops-task"
    assert attacked.ssh(f"cat {folder}/added") == attacked.ssh("id -u mlops-task")
    wait_for(lambda: attacked.try_ssh(f"ls {folder}/called").returncode == 0, "the callback", 30)
    large = "/srv/mlops/data/xcom/walls_kinds"
    assert attacked.ssh(f"find {large} -type f | head -1"), "the large value is a file"
    task = f"/api/v2/dags/walls_kinds/dagRuns/{run}/taskInstances/large"
    shown = attacked.api("GET", f"{task}/xcomEntries/return_value")
    assert shown["key"] == "return_value", "the API server reads it too"


def test_a_task_that_is_killed_takes_no_other_along(attacked: Server) -> None:
    nap = attacked.nap(20).started()
    code = "import os, signal; found = os.kill(os.getppid(), signal.SIGKILL)"
    run = attacked.api(
        "POST",
        "/api/v2/dags/walls_attack/dagRuns",
        {"logical_date": None, "conf": {"code": code, "file": "/srv/mlops/data/none"}},
    )["dag_run_id"]
    state = f"select state from dag_run where dag_id = 'walls_attack' and run_id = '{run}'"
    wait_for(lambda: attacked.sql(state) == "failed", "the end of the killed one", 120)
    assert nap.ended() == "success"
    assert nap.tries == 1
