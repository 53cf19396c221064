"""Models: every environment is there, as it was built, and starts for the tasks' user."""

import json

import pytest


@pytest.fixture(scope="session")
def environments(host):
    """Those in use, by model."""
    answer = host.run("/opt/mlops/bin/mlops env list --json")
    assert answer.rc == 0, f"mlops env list: {answer.stderr.strip()}"
    found = {e["model"]: e for e in json.loads(answer.stdout) if e["current"]}
    if not found:
        pytest.skip("no models yet")
    return found


def test_the_models_of_the_project_have_their_environments(environments, context):
    project = context.given.project
    if project is None:
        pytest.skip("no [workflows] path")
    found = {name: e["lock_hash"] for name, e in environments.items()}
    missing = [m.name for m in project.models if found.get(m.name) != m.lock_hash]
    assert not missing, f"not built from today's lock: {', '.join(missing)}"


def test_environments_are_as_they_were_built(environments, host):
    answer = host.run("/opt/mlops/bin/mlops env check --full 2>&1")
    assert answer.rc == 0, answer.stdout.strip()


def test_their_interpreters_start_for_tasks(environments, host):
    for name in environments:
        answer = host.run("/opt/mlops/bin/mlops env run %s -- python -c 'print(6 * 7)'", name)
        assert answer.stdout.strip() == "42", f"{name}: {answer.stderr.strip()}"


def test_tasks_cannot_change_environments(environments, host):
    find = "find -L /opt/mlops/envs -maxdepth 3 ( ! -user root -o -perm /022 ) ! -type l -print"
    loose = host.run(find.replace("( ", r"\( ").replace(" )", r" \)") + " -quit").stdout.strip()
    assert not loose, f"others may change {loose}"


def test_airflow_knows_the_provider(host):
    code = "import importlib.metadata as m; print(m.version('mlops_airflow'))"
    answer = host.run("/opt/mlops/airflow/current/bin/python -c %s", code)
    assert answer.rc == 0, "Airflow's Python does not see mlops_airflow: @task.conda is unknown"
