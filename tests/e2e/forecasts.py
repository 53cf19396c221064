"""The starter project on a server that pulls it, for tests and for the pictures of the docs."""

from typing import Any

import channel
import gitserver
import pytest
import shared
from project import here
from server import PROGRAM, Server, answers, run, wait_for

CONFIG = """\

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

[variables]
today = "1999-12-24"
"""

XCOM = 'xcom_path = "s3://store@forecasts/xcom"\n'
STORE = """\

[connections.store]
type = "aws"
login = "forecasts"
password = {{ file = "{password}" }}
extra = {{ endpoint_url = "{store}", region_name = "us-east-1" }}
"""


def provision(server: Server, conda_forge: channel.Server, store: str = "") -> None:
    """Lock the project by the installer's own command, push it, install, wait for its DAGs.

    `store` is the address of an S3 store with a bucket `forecasts`, for large results of tasks.
    """
    gitserver.start(server)
    gitserver.let_in(server)
    password = server.folder / "password"
    password.write_text("not known yet\n")
    more = CONFIG.format(
        git=gitserver.PATH, hosts=gitserver.host_keys(server), password=password,
        channel=conda_forge.at("host.internal"),
    )  # fmt: skip
    server.want(more + (STORE.format(password=password, store=store) if store else ""))
    config = server.config.read_text()
    if store:
        server.config.write_text(config.replace("[airflow]\n", f"[airflow]\n{XCOM}", 1))
    made = server.folder / "forecasts"
    lock = server.folder / "lock.toml"
    lock.write_text(here(config))
    words = [*PROGRAM, "new-project", str(made), "--ci", "github", "-c", str(lock)]
    done = run(words, server.folder)
    assert done.returncode == 0, done.end
    files = {str(p.relative_to(made)): p.read_text() for p in made.rglob("*")
             if p.is_file() and ".git" not in p.relative_to(made).parts}  # fmt: skip
    server.ssh("mkdir /root/clone/ci; install -m 755 /dev/null /root/clone/ci/check")
    gitserver.push(server, files)
    server.applied = server.cli("apply", "--yes")
    assert server.applied.returncode == 0, server.applied.output
    password.write_text(server.ssh("cat /etc/mlops/secrets/admin_password"))
    server.apply()
    wait_for(lambda: answers(server), "Airflow", 90)
    known = f"{shared.RUNNABLE} dag_id in ('forecast_integrated', 'watch_drift')"
    wait_for(lambda: server.sql(known) == "2", "the project's DAGs", 90)


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
