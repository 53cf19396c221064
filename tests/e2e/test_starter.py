"""The starter project on a server: pushed, pulled, trained, published, served, retrained."""

import json
import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import channel
import gitserver
import pytest
import walls
from mlops_install import box
from server import PROGRAM, Server, answers, make, run, wait_for

pytestmark = [pytest.mark.box, pytest.mark.slow]
CONFIG = """\
[airflow]
parallelism = 4

[workflows]
repository = "ssh://git@localhost{git}"
known_hosts = "{hosts}"
pull_every = 30

[models]
channel_mirrors = {{ conda-forge = "{channel}" }}

[connections.airflow_api]
type = "http"
host = "127.0.0.1"
port = 8080
login = "admin"
password = {{ file = "{password}" }}
"""


@pytest.fixture(scope="module")
def starter(boxes_here: None, folder: Path, conda_forge: channel.Server) -> Iterator[Server]:
    """A server that pulls the starter, made and locked by the installer's own command."""
    server = make("debian-12", folder)
    gitserver.start(server)
    gitserver.let_in(server)
    password = server.folder / "password"
    password.write_text("not known yet\n")
    config = CONFIG.format(
        git=gitserver.PATH, hosts=gitserver.host_keys(server), password=password,
        channel=conda_forge.at(server.box.gateway),
    )  # fmt: skip
    server.config.write_text(config)
    made = server.folder / "forecasts"
    lock = server.folder / "lock.toml"
    lock.write_text(f'[base]\npython_index = "{walls.upstream_index()}"\n{config}')
    done = run([*PROGRAM, "new-project", str(made), "--ci", "github", "-c", str(lock)], folder)
    assert done.returncode == 0, done.output
    files = {str(p.relative_to(made)): p.read_text() for p in made.rglob("*") if p.is_file()}
    server.ssh("mkdir /root/clone/ci; install -m 755 /dev/null /root/clone/ci/check")
    gitserver.push(server, files)
    server.applied = server.cli("apply", "--yes")
    assert server.applied.returncode == 0, server.applied.output
    password.write_text(server.ssh("cat /etc/mlops/secrets/admin_password"))
    server.apply()
    wait_for(lambda: answers(server), "Airflow", 90)
    known = "select count(*) from dag where dag_id in ('forecast_integrated', 'watch_drift')"
    wait_for(lambda: server.sql(known) == "2", "the project's DAGs", 90)
    yield server
    box.down(server.name)


def trigger(server: Server, dag: str, **conf: Any) -> str:
    """Start a run and wait for its success; its name."""
    body = {"logical_date": None, "conf": conf}
    name = server.api("POST", f"/api/v2/dags/{dag}/dagRuns", body)["dag_run_id"]
    ended(server, dag, name)
    return str(name)


def ended(server: Server, dag: str, name: str) -> None:
    """Wait for the success of a run."""
    path = f"/api/v2/dags/{dag}/dagRuns/{name}"
    wait_for(lambda: server.api("GET", path)["state"] in ("success", "failed"), name, 240, 2)
    if server.api("GET", path)["state"] != "success":
        tasks = server.api("GET", f"{path}/taskInstances")["task_instances"]
        bad = [t["task_id"] for t in tasks if t["state"] == "failed"]
        pytest.fail(f"{bad}: {server.api('GET', f'{path}/taskInstances/{bad[0]}/logs/1')}")


def rows(server: Server, query: str) -> list[str]:
    """Rows of the database of the tasks."""
    psql = "cd /; runuser -u airflow -- psql -XqAt -d workflows"
    return server.ssh(f'{psql} -c "{query}"').splitlines()


def predict(server: Server, name: str, request: dict[str, Any]) -> dict[str, Any]:
    """Ask a model in service over HTTPS, as a client with its token."""
    token = server.ssh(f"cat /etc/mlops/secrets/services/{name}")
    certificate = server.ssh("cat /etc/mlops/tls/certificate.pem")
    call = urllib.request.Request(
        f"{server.url}/models/{name}/predict", json.dumps(request).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )  # fmt: skip
    context = ssl.create_default_context(cadata=certificate)
    with urllib.request.urlopen(call, timeout=30, context=context) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def production(server: Server, model: str) -> str:
    """The folder of the model in production."""
    return server.ssh(f"readlink -f /srv/mlops/data/models/{model}/production")


def test_the_workflow_ends_in_forecasts_of_two_environments(starter: Server) -> None:
    trigger(starter, "forecast_integrated")
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
