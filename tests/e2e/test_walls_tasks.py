"""A task has none of Airflow's keys, and cannot reach what has: each test is an attack."""

import base64
import json
import secrets
import time

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


MASKED = """
[connections.sales]
type = "http"
host = "127.0.0.1"
password = { file = "PASSWORD" }
secret_extra = { berta = { file = "EXTRA" } }

[variables]
anna = { file = "VARIABLE" }
"""
# The last line would fail when masking changed what tasks get.
TELLS = """
import base64, traceback
from airflow.sdk import Connection, Variable
sales = Connection.get("sales")
values = [Variable.get("anna"), sales.password, sales.extra_dejson["berta"]]
print("told", *values, {"anna": values[0]})
try:
    raise ValueError(f"an error about {values[0]}")
except ValueError:
    traceback.print_exc()
found = [base64.b64encode(value.encode()).decode() for value in values]
"""


def test_what_the_config_calls_a_secret_is_masked_whatever_its_name(attacked: Server) -> None:
    """In the log of a task, in rendered fields, in the API, and in the journal."""
    secret = {name: secrets.token_hex(8) for name in ("VARIABLE", "PASSWORD", "EXTRA")}
    config = attacked.config.read_text()
    more = MASKED
    for name, value in secret.items():
        (attacked.folder / name).write_text(value)
        more = more.replace(name, str(attacked.folder / name))
    try:
        attacked.config.write_text(config + more)
        attacked.apply()
        found = attacks.run(attacked, TELLS)
        assert [base64.b64decode(one).decode() for one in found] == list(secret.values())
        said = told(attacked, "walls_attack", "attack")
        assert "told *** *** ***" in said
        assert "an error about ***" in said
        body = {"logical_date": None}
        run = attacked.api("POST", "/api/v2/dags/walls_shown/dagRuns", body)["dag_run_id"]
        state = f"select state from dag_run where dag_id = 'walls_shown' and run_id = '{run}'"
        wait_for(lambda: attacked.sql(state) == "success", "the task that shows", 90)
        said += told(attacked, "walls_shown", "shown")
        assert said.count("echo shown ***") >= 1, "rendered"
        places = "/var/log/mlops/airflow /var/log/mlops/dag_processor"
        for value in secret.values():
            assert value not in said
            assert attacked.ssh(f"grep -rl {value} {places} || true") == ""
            assert attacked.ssh(f"journalctl -q -g {value} || true") == ""
    finally:
        attacked.config.write_text(config)
        attacked.apply()


def told(server: Server, dag: str, task: str) -> str:
    """What the API says of the last run of a task, and its log."""
    last = f"select run_id from dag_run where dag_id = '{dag}' order by id desc limit 1"
    place = f"/api/v2/dags/{dag}/dagRuns/{server.sql(last)}/taskInstances/{task}"
    return json.dumps([server.api("GET", place), server.api("GET", f"{place}/logs/1")])


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


def test_a_deferred_task_that_is_back_before_its_first_process_ended(attacked: Server) -> None:
    """That end, told while the second one runs, would be taken for its end; so in Airflow's own."""
    for _ in range(3):  # so that a scheduler gets the same task twice: there are two
        attacked.api("POST", "/api/v2/dags/walls_lingers/dagRuns", {"logical_date": None})
        time.sleep(1.3)
    ended = "select count(*) from dag_run where dag_id = 'walls_lingers' and state in"
    wait_for(lambda: attacked.sql(f"{ended} ('success', 'failed')") == "3", "the runs", 120)
    why = "select task_id, extra from log where dag_id = 'walls_lingers' and event like 'state m%'"
    assert attacked.sql(f"{ended} ('success')") == "3", attacked.sql(why)


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
