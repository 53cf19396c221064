"""Questions that are asked together: what each of them gets of the answer to all."""

import subprocess

import postgres
import pytest
from mlops_install import sql
from mlops_install.answer import ABSENT, Answer
from mlops_install.resources.systemd import Services, ServicesState, UnitState
from mlops_install.units import Units, units

SHOWN = """\
inputs airflow-scheduler@1.service 0123
inputs nginx.service
wanted airflow-scheduler@3.service
Id=airflow-scheduler@1.service
ActiveState=active
UnitFileState=enabled

Id=airflow-scheduler@2.service
ActiveState=failed

Id=airflow-scheduler@4.service
ActiveState=inactive

Id=nginx.service
ActiveState=active
"""


def test_a_pattern_owns_what_runs_failed_or_would_start_at_boot():
    wanted = {"airflow-scheduler@1.service": "0123"}
    services = Services("x", wanted, "airflow-scheduler@*")
    found = services.parse(SHOWN)
    assert found.units == {
        "airflow-scheduler@1.service": UnitState(True, True, "0123"),
        "airflow-scheduler@2.service": UnitState(False, False),
        "airflow-scheduler@3.service": UnitState(False, True),
    }
    stop = next(step.line() for step in services.change(found) if "--now" in step.line())
    assert stop.split()[-2:] == ["airflow-scheduler@2.service", "airflow-scheduler@3.service"]


def test_of_those_restarted_in_turn_the_next_waits_until_the_last_is_at_work():
    wanted = [f"airflow-scheduler@{number}.service" for number in (1, 2, 3)]
    services = Services("x", dict.fromkeys(wanted, "new"), ready="/bin/ready")
    state = ServicesState(dict.fromkeys(wanted, UnitState(True, True, "old")))
    steps = [step.line() for step in services.change(state)][1:]
    first, second, third = wanted
    assert steps == [
        f"$ systemctl restart {first}",
        f"$ /bin/ready {first}",
        f"$ systemctl restart {second}",
        f"$ /bin/ready {second}",
        f"$ systemctl restart {third}",
    ]


def test_an_empty_stamp_is_no_digest():
    assert units(SHOWN)["nginx.service"].inputs == ""


def test_the_script_about_units_is_one_call_of_systemctl():
    text = Units(("a.service", "b.timer"), "a@*").shell()
    assert text.count("systemctl") == 1
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)


def test_rows_go_to_their_question_and_an_error_to_all():
    asked = [sql.query("select 1"), sql.query("select 2"), sql.query("select 3", database="none")]
    said = ["-- 0", '{"a": 1}', '{"a": 2}', "-- 1", "-- entered"]
    reply = Answer("\n".join(f"postgres {line}" for line in said))
    assert list(sql.answers(asked, reply)) == [
        Answer('{"a": 1}\n{"a": 2}'), Answer("", ABSENT), Answer("", ABSENT),
    ]  # fmt: skip
    failed = Answer('postgres -- 0\npostgres {"a": 1}', 1, "ERROR: no")
    assert {one.code for one in sql.answers(asked, failed)} == {1}


@postgres.NEEDED
@pytest.mark.parametrize(
    ("asked", "code"),
    [("select 1 as a", 0), ("select 1 as a where false", ABSENT), ("select nothing", 1)],
)
def test_an_error_of_sql_is_not_taken_for_absence(cluster, asked, code):
    """psql's own code for an error in a script is the one that stands for absence."""
    script = postgres.here(sql.query(asked).shell())
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
