"""The starter project on a server: pushed, pulled, trained, published, served, retrained."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import channel
import pytest
import shared
from forecasts import ended, provision, trigger
from mlops_install import box
from moto.server import ThreadedMotoServer
from project import results
from server import Server, wait_for

pytestmark = [pytest.mark.box, pytest.mark.slow]


LARGE = """\
from airflow.sdk import DAG, task


@task(retries=0)
def make():
    return "x" * 400_000


@task(retries=0)
def length(text):
    return len(text)


with DAG("large"):
    length(make())
"""


@pytest.fixture(scope="module")
def store() -> Iterator[int]:
    """The port of an S3 store with a bucket."""
    server = ThreadedMotoServer("0.0.0.0", 0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    bucket(port).create()
    yield port
    server.stop()


def bucket(port: int) -> Any:
    """The bucket, as an administrator of the store sees it."""
    login = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
    return boto3.resource("s3", endpoint_url=f"http://127.0.0.1:{port}", **login).Bucket(
        "forecasts"
    )


@pytest.fixture(scope="module")
def starter(
    boxes_here: None, folder: Path, conda_forge: channel.Server, store: int
) -> Iterator[Server]:
    """A server that pulls the starter, made and locked by the installer's own command."""
    server = shared.copy(shared.plain("debian-12"), folder)
    # By its address: in a name the store would take the first part for a bucket.
    provision(server, conda_forge, f"http://{server.box.gateway}:{store}")
    yield server
    box.down(server.name)


def rows(server: Server, query: str) -> list[str]:
    """Rows of the database of the tasks."""
    psql = "cd /; runuser -u mlops-task -- psql -XqAt -d workflows"
    return server.ssh(f'{psql} -c "{query}"').splitlines()


def predict(server: Server, name: str, request: dict[str, Any]) -> dict[str, Any]:
    """Ask a model in service over HTTPS, as a client with its token."""
    token = server.ssh(f"cat /etc/mlops/secrets/services/{name}")
    call = urllib.request.Request(
        f"{server.url}/models/{name}/predict", json.dumps(request).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )  # fmt: skip
    with server.opener().open(call, timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def production(server: Server, model: str) -> str:
    """The folder of the model in production."""
    return server.ssh(f"readlink -f /srv/mlops/data/models/{model}/production")


def test_the_workflow_ends_in_forecasts_of_two_environments(starter: Server) -> None:
    name = trigger(starter, "forecast_integrated")
    prepared = results(starter, "forecast_integrated", name, "prepare")
    assert prepared["scope"]["today"] == "1999-12-24", "[variables] in the config"
    found = rows(starter, "select model, count(*) from forecasts group by 1 order by 1")
    assert [line.split("|")[0] for line in found] == ["baseline", "seasonal"]
    assert all(int(line.split("|")[1]) > 10 for line in found), found
    assert starter.ssh("ls /srv/mlops/data/reports")
    environments = starter.ssh("ls -d /opt/mlops/envs/{baseline,seasonal}/current")
    assert len(environments.split()) == 2


def test_a_model_is_served_and_its_successor_takes_over(starter: Server) -> None:
    folder = production(starter, "seasonal")
    starter.ssh(f"mlops service deploy co2 --model seasonal --folder {folder}")
    first = predict(starter, "co2", {"weeks": ["2000-01-08", "2000-01-15"]})
    assert len(first["co2"]) == 2
    assert all(300 < value < 450 for value in first["co2"])


def test_drift_leads_to_retraining_through_the_api(starter: Server) -> None:
    before = {model: production(starter, model) for model in ("baseline", "seasonal")}
    name = trigger(starter, "watch_drift", today="2000-06-30", shift=5.0)
    retraining = f"drift__{name}"
    ended(starter, "forecast_integrated", retraining)
    conf = starter.api("GET", f"/api/v2/dags/forecast_integrated/dagRuns/{retraining}")["conf"]
    assert conf["reason"]
    after = {model: production(starter, model) for model in before}
    assert after["seasonal"] != before["seasonal"], "a better model is in production"


def test_a_large_result_goes_to_the_store_and_back(starter: Server, store: int) -> None:
    starter.ssh(f"cat > /opt/mlops/dags/large.py <<'END'\n{LARGE}END")
    known = f"{shared.RUNNABLE} dag_id = 'large'"
    wait_for(lambda: starter.sql(known) == "1", "the DAG", 60)
    name = trigger(starter, "large")
    assert results(starter, "large", name, "length") == 400_000
    (first,) = [found.key for found in bucket(store).objects.all()]
    assert first.startswith(f"xcom/large/{name}/make/")
    assert starter.ssh("find /srv/mlops/data/xcom -type f | wc -l") == "0"
    again = {"dry_run": False, "dag_run_id": name, "only_failed": False, "reset_dag_runs": True}
    starter.api("POST", "/api/v2/dags/large/clearTaskInstances", again)
    ended(starter, "large", name)
    (second,) = [found.key for found in bucket(store).objects.all()]
    assert second != first, "the result of the first try is gone"
