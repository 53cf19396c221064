"""A model in service on a server: deployed, switched under load, broken, restarted, removed."""

import json
import shutil
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import channel
import project
import pytest
import shared
from mlops_install import box
from server import Server, To, wait_for

pytestmark = [pytest.mark.box, pytest.mark.slow]
SERVICE = """
import getpass
import os

USER = getpass.getuser()  # as PyTorch's inductor asks at import
EXAMPLE = {"x": 1}


def load(folder):
    with open(os.path.join(folder, "factor")) as file:
        return float(file.read())


def predict(model, request):
    import sklearn

    return {"y": model * request["x"], "sklearn": sklearn.__version__, "uid": os.getuid(),
            "user": USER, "threads": os.environ["OMP_NUM_THREADS"]}
"""

DAG = """
from airflow.sdk import DAG
from mlops_airflow.deploy import DeployModelOperator

with DAG("serve", schedule=None):
    DeployModelOperator(
        task_id="deploy", name="churn", env="churn", folder="{{ dag_run.conf['folder'] }}"
    )
"""


@pytest.fixture(scope="module")
def workshop(
    boxes_here: None, folder: Path, conda_forge: channel.Server, locked_project: Path
) -> Iterator[Server]:
    """A server whose project has a service.py."""
    server = shared.copy(shared.with_project("debian-13"), folder)
    server.project = shutil.copytree(locked_project, server.folder / "project")
    (server.project / "models/churn/service.py").write_text(SERVICE)
    (server.project / "dags/serve.py").write_text(DAG)
    server.want(project.config(server.project, conda_forge))
    server.apply()
    yield server
    box.down(server.name)


def trained(server: Server, version: str, factor: object) -> str:
    """A folder as a task leaves it: for the user and group of tasks only."""
    path = f"/srv/mlops/data/models/churn/{version}"
    server.ssh(
        f"install -d -m 750 -o mlops-task -g mlops-task /srv/mlops/data/models"
        f" /srv/mlops/data/models/churn {path}; echo {factor} > {path}/factor;"
        f" chown mlops-task: {path}/factor; chmod 640 {path}/factor"
    )
    return path


def deploy(server: Server, folder: str) -> str:
    return server.ssh(f"mlops service deploy churn --model churn --folder {folder} 2>&1; echo $?")


def predict(server: Server, token: str, path: str = "churn/predict") -> tuple[int, dict]:
    """One request from outside, through nginx."""
    request = urllib.request.Request(
        f"{server.url}/models/{path}",
        json.dumps({"x": 2}).encode(),
        {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    client = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), To(server.box.address, ssl._create_unverified_context())
    )
    try:
        with client.open(request, timeout=30) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, {}


@pytest.fixture(scope="module")
def token(workshop: Server) -> str:
    """The token of the service, deployed as version 1."""
    assert deploy(workshop, trained(workshop, "1", 1)).endswith("\n0")
    return workshop.ssh("mlops service token churn")


def test_a_deployed_model_answers_through_https(workshop: Server, token: str) -> None:
    code, answer = predict(workshop, token)
    assert (code, answer["y"]) == (200, 2.0)
    assert answer["sklearn"].startswith("1.5.")
    assert answer["uid"] >= 61184, "a user of systemd's own"
    assert (answer["user"], answer["threads"]) == ("churn", "1")
    assert predict(workshop, "wrong")[0] == 401
    assert predict(workshop, token, "churn/metrics")[0] == 404
    assert predict(workshop, token, "other/predict")[0] == 502


def test_no_request_is_dropped_by_switches(workshop: Server, token: str) -> None:
    wrong: list[object] = []
    answers: list[float] = []
    over = threading.Event()

    def hammer() -> None:
        while not over.is_set():
            try:
                code, answer = predict(workshop, token)
            except OSError as error:
                wrong.append(error)
                continue
            (answers.append(answer["y"]) if code == 200 else wrong.append(code))

    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        assert deploy(workshop, trained(workshop, "2", 2)).endswith("\n0")
        broken = deploy(workshop, trained(workshop, "broken", "nonsense"))
        assert broken.endswith("\n1")
        assert "goes on serving" in broken
        assert "ValueError" in broken, "the journal's lines"
        assert deploy(workshop, trained(workshop, "3", 3)).endswith("\n0")
        time.sleep(1)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert set(answers) == {2.0, 4.0, 6.0}


@pytest.mark.parametrize(
    ("version", "factor", "state", "served"),
    [("by-task", 7, "success", 14.0), ("by-task-broken", "nonsense", "failed", 14.0)],
)
def test_a_task_deploys_through_the_door(
    workshop: Server, token: str, version: str, factor: object, state: str, served: float
) -> None:
    known = f"{shared.RUNNABLE} dag_id = 'serve'"
    wait_for(lambda: workshop.sql(known) == "1", "the DAG", 90)
    body = {"logical_date": None, "conf": {"folder": trained(workshop, version, factor)}}
    workshop.api("PATCH", "/api/v2/dags/serve", {"is_paused": False})
    name = workshop.api("POST", "/api/v2/dags/serve/dagRuns", body)["dag_run_id"]
    path = f"/api/v2/dags/serve/dagRuns/{name}"
    ended = {"success", "failed"}
    wait_for(lambda: workshop.api("GET", path)["state"] in ended, "the run", 180)
    assert workshop.api("GET", path)["state"] == state
    assert predict(workshop, token)[1]["y"] == served


def test_requests_wait_while_a_killed_service_starts_again(workshop: Server, token: str) -> None:
    units = "systemctl list-units --plain --no-legend 'mlops-model@churn.*.service'"
    unit = workshop.ssh(f"{units} | cut -d' ' -f1")
    workshop.ssh(f"kill -9 $(systemctl show -P MainPID {unit})")
    assert predict(workshop, token)[0] == 200


def test_a_service_is_walled_in(workshop: Server, token: str) -> None:
    units = "systemctl list-units --plain --no-legend 'mlops-model@churn.*.service'"
    unit = workshop.ssh(f"{units} | cut -d' ' -f1")
    exposure = workshop.ssh(f"systemd-analyze security {unit} | tail -1")
    assert float(exposure.split(":")[1].split()[0]) <= 2.0
    pid = workshop.ssh(f"systemctl show -P MainPID {unit}")
    inside = f"nsenter -t {pid} -a -S $(stat -c %u /proc/{pid}) -G $(stat -c %g /proc/{pid})"
    for path in ("/etc/mlops/secrets", "/etc/mlops/airflow.cfg", "/var/lib/mlops/airflow", "/root"):
        assert workshop.try_ssh(f"{inside} ls {path}/ 2>&1").returncode != 0, path
    assert workshop.try_ssh(f"{inside} touch /srv/mlops/data/x").returncode != 0
    assert workshop.ssh(f"nsenter -t {pid} -n ip -br link | cut -d' ' -f1") == "lo"


def test_a_restart_of_the_machine_brings_it_back(workshop: Server, token: str) -> None:
    enabled = workshop.ssh("systemctl list-unit-files --state=enabled 'mlops-model@*' | cat")
    workshop.ssh("systemctl stop 'mlops-model@churn.*.service' 'mlops-model@churn.*.socket'")
    assert predict(workshop, token)[0] == 502
    workshop.ssh("systemctl start sockets.target multi-user.target")
    wait_for(lambda: predict(workshop, token)[0] == 200, f"the service; {enabled}", 60)


def test_what_is_removed_is_gone(workshop: Server, token: str) -> None:
    workshop.ssh("mlops service remove churn")
    assert predict(workshop, token)[0] == 502
    left = workshop.ssh(
        "systemctl list-units --all --no-legend 'mlops-model@*' | cat; ls /run/mlops/models"
    )
    assert left == ""
