"""Airflow: every part alive by its own heartbeat, and a canary run through each scheduler."""

import base64
import json
from pathlib import Path

import pytest
from mlops_install import sql

SERVICES = ["airflow-dag-processor", "airflow-triggerer"]
CANARY = Path(__file__).parent / "canary.py"
FRESH = 60


def schedulers(context):
    return [f"scheduler-{i}" for i in range(1, context.config.airflow.schedulers + 1)]


def jobs(host):
    """Seconds since the last heartbeat, by component; schedulers by their own name."""
    query = (
        "select coalesce(nullif(job_type, 'SchedulerJob'), split_part(hostname, '.', 1)) as name,"
        " min(extract(epoch from now() - latest_heartbeat)) as age from job"
        " where state = 'running' and latest_heartbeat is not null group by 1"
    )
    answer = host.run(sql.select(query, database="airflow"))
    assert answer.rc == 0, f"psql: {answer.stderr.strip()}"
    return {row["name"]: float(row["age"]) for row in sql.rows(answer.stdout)}


@pytest.fixture(scope="session")
def canary(host, context):
    """What a client of the REST API sees; the script runs on the server."""
    ages = jobs(host)
    alive = [name for name in schedulers(context) if ages.get(name, FRESH + 1) <= FRESH]
    wanted = {"url": context.base_url, "schedulers": alive, "timeout": 120,
              "psql": sql.psql("airflow")}  # fmt: skip
    script = base64.b64encode(CANARY.read_bytes()).decode()
    code = f"import base64; exec(base64.b64decode('{script}'))"
    answer = host.run("python3 -c %s %s", code, json.dumps(wanted))
    assert answer.rc == 0, f"the canary could not run: {answer.stderr.strip()}"
    found = json.loads(answer.stdout)
    assert not found["error"], found["error"]
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_services_run(host, service):
    assert host.service(service).is_running, f"{service} does not run"


def test_one_api_server_runs_and_is_started_at_boot(host):
    units = host.run("systemctl list-units --plain --no-legend 'airflow-api-server@*'").stdout
    running = [line.split()[0] for line in units.splitlines() if " running " in line]
    assert len(running) == 1, f"running: {running}"
    assert host.service(running[0]).is_enabled, f"{running[0]} is not enabled"


def test_as_many_schedulers_run_as_wanted(host, context):
    units = host.run("systemctl list-units --plain --no-legend 'airflow-scheduler@*'").stdout
    running = [line.split()[0] for line in units.splitlines() if " running " in line]
    assert len(running) == context.config.airflow.schedulers, f"running: {running}"


def test_every_scheduler_has_a_fresh_heartbeat(host, context):
    ages = jobs(host)
    stale = [n for n in schedulers(context) if ages.get(n, FRESH + 1) > FRESH]
    assert not stale, f"no fresh heartbeat: {', '.join(stale)}"


@pytest.mark.parametrize("job", ["DagProcessorJob", "TriggererJob"])
def test_other_components_have_a_fresh_heartbeat(host, job):
    assert jobs(host).get(job, FRESH + 1) <= FRESH, f"{job} has no fresh heartbeat"


def test_a_client_gets_a_token_through_https(canary, context):
    found = canary["version"]["version"]
    assert found == context.config.airflow.version, f"it is Airflow {found}"


def test_airflow_says_it_is_healthy(canary):
    health = {part: value["status"] for part, value in canary["health"].items() if value}
    assert set(health.values()) == {"healthy"}, health


def test_dags_parse_without_errors(canary):
    assert not canary["import_errors"], "; ".join(canary["import_errors"])


def test_a_canary_run_goes_through_each_scheduler(canary, context):
    bad = [run for run in canary["runs"] if run["state"] != "success"]
    assert not bad, f"the canary run ended as {bad[0]['state']} (task: {bad[0]['task_state']})"
    seen = {run["scheduler"] for run in canary["runs"]}
    assert seen == set(schedulers(context)), f"ran only through {', '.join(sorted(seen))}"


def test_its_log_can_be_read_through_the_api(canary):
    assert canary["runs"], "no canary run"
    assert all(run["log"] for run in canary["runs"]), "a canary's log is not there"


def test_no_secret_is_in_the_environment_of_a_scheduler(host):
    show = "tr '\\0' '\\n' < /proc/$p/environ"
    environ = host.run(
        f"for p in $(pgrep -u airflow -f 'airflow scheduler'); do {show}; done"
    ).stdout
    for name in ("fernet_key", "jwt_secret", "session_key"):
        secret = host.file(f"/etc/mlops/secrets/{name}").content_string.strip()
        assert len(secret) > 16, f"{name} is short"
        assert secret not in environ, f"{name} is in the environment"


def test_the_metadata_database_is_current(host):
    answer = host.run(sql.sql("select version_num from alembic_version", database="airflow"))
    assert answer.rc == 0, answer.stderr
    assert answer.stdout.strip(), "the database was never migrated"
