"""A workflow that keeps a server busy, and the account of everything that it did.

Every task writes when it starts and when it ends, so what ran is known beside what Airflow says.
"""

import json
from collections import Counter
from dataclasses import dataclass

from server import Server, wait_for

FILE = "/srv/mlops/data/load.log"
HOLD = "/srv/mlops/data/hold"
"""While it is there, the longer task does not end."""
CONNECTION = {"connection_id": "e2e_store", "conn_type": "http", "host": "store.example.org",
              "login": "team", "password": "open sesame", "port": 8443}  # fmt: skip
DAGS = f'''\
"""Short tasks all the time, and a longer one now and then."""

import datetime
import os
import time

from airflow.sdk import dag, get_current_context, task


def note(word: str) -> None:
    ti = get_current_context()["ti"]
    with open("{FILE}", "a") as file:
        file.write(f"{{ti.dag_id}}|{{ti.run_id}}|{{ti.task_id}}|{{ti.try_number}}|{{word}}\\n")


@task(retries=0)
def first() -> int:
    note("start")
    time.sleep(0.5)
    note("end")
    return 42


@task(retries=0)
def second(answer: int) -> None:
    note("start")
    time.sleep(0.5)
    note("end")


@task(retries=0)
def longer() -> None:
    note("start")
    time.sleep(25)
    while os.path.exists("{HOLD}"):
        time.sleep(0.5)
    note("end")


OPTIONS = {{
    "start_date": datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc),
    "catchup": False, "is_paused_upon_creation": False, "max_active_runs": 4,
}}


@dag(schedule=datetime.timedelta(seconds=6), **OPTIONS)
def load_short() -> None:
    second(first())


@dag(schedule=datetime.timedelta(seconds=40), **OPTIONS)
def load_long() -> None:
    longer()


load_short()
load_long()
'''
FINISHED = """\
select dag_id, run_id, task_id, map_index, try_number, state, start_date from task_instance
  where state = 'success' and end_date < to_timestamp({until}) order by 1, 2, 3, 4;
select dag_id, run_id, run_type, state from dag_run where end_date < to_timestamp({until})
  order by 1, 2;
select x.dag_id, x.run_id, x.task_id, x.key, x.value::text from xcom x
  join dag_run r using (dag_id, run_id) where r.end_date < to_timestamp({until})
  order by 1, 2, 3, 4;
"""
KEPT = """\
select 'user', u.username, u.email, u.password, r.name from ab_user u
  join ab_user_role ur on ur.user_id = u.id join ab_role r on r.id = ur.role_id order by 2, 5;
select 'connection', conn_id, conn_type, host, login, password from connection order by 2;
select 'variable', key, val from variable order by 2;
select 'pool', pool, slots, description from slot_pool order by 2;
"""


def add(server: Server) -> None:
    """Put the load on, with a user, a connection, a variable and a pool of a team's own."""
    server.ssh(f"cat > /opt/mlops/dags/load.py <<'END'\n{DAGS}END")
    token = server.token()
    server.api("POST", "/api/v2/connections", CONNECTION, token)
    server.api("POST", "/api/v2/variables", {"key": "e2e_word", "value": "marzipan"}, token)
    server.api("POST", "/api/v2/pools", {"name": "e2e_pool", "slots": 3}, token)
    wait_for(lambda: len(lines(server)) > 6, "the load", 120)


def lines(server: Server) -> list[str]:
    """What tasks wrote."""
    return server.ssh(f"cat {FILE} 2>/dev/null || true").splitlines()


@dataclass(frozen=True)
class Memory:
    """What a server must still know later."""

    finished: frozenset[str]
    kept: tuple[str, ...]


def remember(server: Server, until: float | None = None) -> Memory:
    """Everything finished until then (default: now), and what people entered."""
    at = until or float(server.ssh("date +%s"))
    finished = server.sql(FINISHED.format(until=at)).splitlines()
    key = server.ssh("sha256sum < /etc/mlops/secrets/fernet_key")
    return Memory(frozenset(finished), (key, *server.sql(KEPT).splitlines()))


def assert_readable(server: Server) -> None:
    """Airflow reads the connection's password and the variable by the fernet key."""
    export = "cd /root; airflow connections export all.json >&2; cat all.json; rm all.json"
    connection = json.loads(server.ssh(export))["e2e_store"]
    variable = server.ssh("airflow variables get e2e_word 2>/dev/null").splitlines()[-1]
    assert (connection["password"], variable) == (CONNECTION["password"], "marzipan")


def assert_remembered(server: Server, before: Memory) -> None:
    """Nothing that was known is lost."""
    now = remember(server)
    assert before.finished, "there was nothing to lose"
    assert before.finished - now.finished == set()
    assert now.kept == before.kept


def stop(server: Server) -> None:
    """No new runs; what runs comes to its end."""
    server.sql("update dag set is_paused = true where dag_id like 'load_%'")
    at_work = (
        "select count(*) from task_instance where dag_id like 'load_%' and state in"
        " ('running', 'queued', 'restarting')"
    )
    wait_for(lambda: server.sql(at_work) == "0", "the end of the load", 90)


def assert_every_task_ran_once(server: Server) -> int:
    """Every task instance that was started ran once, to its end; how many there were."""
    rows = server.sql(
        "select dag_id || '|' || run_id || '|' || task_id, state, try_number from task_instance"
        " where dag_id like 'load_%' and start_date is not null"
    ).splitlines()
    known = {row.rsplit("|", 2)[0]: row.rsplit("|", 2)[1:] for row in rows}
    assert {tuple(found) for found in known.values()} == {("success", "1")}, known
    written = Counter(lines(server))
    wanted = Counter(f"{name}|1|{word}" for name in known for word in ("start", "end"))
    assert written == wanted
    bad = server.sql("select run_id, state from dag_run where dag_id like 'load_%'"
                     " and state not in ('success', 'running', 'queued')")  # fmt: skip
    assert not bad
    return len(known)
