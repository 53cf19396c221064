"""A conda environment per model, on a server: built, used by tasks, changed, broken, put right."""

import json
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import channel
import project
import pytest
import shared
from mlops_install import box
from mlops_server.listing import COMMAND
from project import here
from server import PROGRAM, Done, Server, answers, quickness, run, wait_for

pytestmark = [pytest.mark.box, pytest.mark.slow]
FINAL = {"success", "failed"}


@pytest.fixture(scope="module")
def workshop(
    boxes_here: None, folder: Path, conda_forge: channel.Server, locked_project: Path
) -> Iterator[Server]:
    """A server with the project."""
    server = shared.copy(shared.with_project("debian-13"), folder)
    server.project = shutil.copytree(locked_project, server.folder / "project")
    server.want(project.config(server.project, conda_forge))
    yield server
    box.down(server.name)


def lock(server: Server, *words: str) -> Done:
    """`mlops-install lock`."""
    config = server.folder / "lock.toml"
    config.write_text(here(server.config.read_text()))
    done = run([*PROGRAM, "lock", "-c", str(config), *words], server.folder)
    print(done.output)
    return done


def env(server: Server, *words: str) -> Done:
    """`mlops-install env`."""
    options = ("--on", server.name, "-F", str(server.ssh_config), "-c", str(server.config))
    return run([*PROGRAM, "env", words[0], *options, *words[1:]], server.folder)


def path_of(server: Server, model: str) -> str:
    """The real path of a model's current environment."""
    return server.ssh(f"readlink -f /opt/mlops/envs/{model}/current")


def trigger(server: Server, dag: str, **conf: object) -> str:
    """Start a DAG run; its name."""
    body = {"logical_date": None, "conf": conf}
    return str(server.api("POST", f"/api/v2/dags/{dag}/dagRuns", body)["dag_run_id"])


def ended(server: Server, dag: str, run: str, timeout: float = 180) -> str:
    """Wait for the end of a DAG run; how it ended."""

    def state() -> str:
        return str(server.api("GET", f"/api/v2/dags/{dag}/dagRuns/{run}")["state"])

    wait_for(lambda: state() in FINAL, f"{dag} {run}", timeout)
    return state()


def current_version(server: Server) -> str:
    """The release that Airflow's parser read the DAG from."""
    version = server.sql("select bundle_version from dag where dag_id = 'one_slow'")
    return f"/srv/mlops/workflows/releases/{version}"


def log(server: Server, dag: str, run: str, task: str, number: int = 1) -> str:
    """The log of a task, as the UI shows it."""
    path = f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task}/logs/{number}"
    return json.dumps(server.api("GET", path))


@pytest.fixture(scope="module")
def parsed(workshop: Server) -> Server:
    """The server once Airflow knows the project's DAGs."""
    wait_for(lambda: answers(workshop), "Airflow", 90)
    known = f"{shared.RUNNABLE} dag_id in ('conflict', 'one_slow', 'tasks', 'forever')"
    wait_for(lambda: workshop.sql(known) == "4", "the project's DAGs", 90)
    assert workshop.sql("select filename, stacktrace from import_error") == ""
    return workshop


def test_models_with_conflicting_versions_train_in_one_run(parsed: Server) -> None:
    name = trigger(parsed, "conflict")
    assert ended(parsed, "conflict", name) == "success"
    churn = project.results(parsed, "conflict", name, "train_churn")
    demand = project.results(parsed, "conflict", name, "train_demand")
    assert churn["version"].startswith("1.5.")
    assert demand["version"].startswith("1.7.")
    assert (demand["after"], demand["tabulate"]) == (churn["version"], "0.9.0")
    assert churn["score"] > 0.9
    assert demand["score"] > 0.4
    assert churn["prefix"] == path_of(parsed, "churn")
    assert demand["prefix"] == path_of(parsed, "demand")
    assert "trained churn" in log(parsed, "conflict", name, "train_churn")


def test_status_and_env_show_them(workshop: Server) -> None:
    shown = workshop.cli("status").stdout
    for model in ("churn", "demand", "vision"):
        assert f"environment {model}" in shown
    listed = {e["model"]: e for e in env(workshop, "list", "--json").json}
    assert set(listed) == {"churn", "demand", "vision"}
    assert "scikit-learn" in env(workshop, "show", "churn").stdout
    code = "import sklearn, os; print(sklearn.__version__, os.getuid()); raise SystemExit(7)"
    done = env(workshop, "run", "churn", "--", "python", "-c", code)
    version, user = done.stdout.split()
    assert version.startswith("1.5.")
    assert user != "0"
    assert done.returncode == 7


def test_a_second_run_is_silent(workshop: Server) -> None:
    before = workshop.units()
    done = workshop.cli("apply", "--yes", "--json")
    assert done.returncode == 0, done.end
    assert done.json["changes"] == []
    assert done.json["round_trips"] <= 2
    assert workshop.units() == before
    again, yardstick = quickness(workshop)
    assert again.cpu <= 2 * yardstick.cpu
    assert again.wall <= 2 * yardstick.wall
    lock = workshop.ssh("basename $(readlink /opt/mlops/envs/churn/current)")
    assert workshop.cpu(f"mlops env build churn {lock}") < 0.4, "a build of what is there"


def test_tasks_of_every_kind(parsed: Server) -> None:
    name = trigger(parsed, "tasks")
    assert ended(parsed, "tasks", name) == "failed"
    path = f"/api/v2/dags/tasks/dagRuns/{name}/taskInstances"
    found = {t["task_id"]: t for t in parsed.api("GET", path)["task_instances"]}
    states = {task: t["state"] for task, t in found.items()}
    assert states == {"environ": "success", "wrong": "failed", "unknown": "failed",
                      "on_gpu": "success", "script": "success", "large": "success",
                      "length": "success"}  # fmt: skip
    assert project.results(parsed, "tasks", name, "length") == 400_000
    assert parsed.ssh("find /srv/mlops/data/xcom -type f | wc -l") == "1", "the rest is small"
    assert found["on_gpu"]["pool"] == "gpu"
    assert found["unknown"]["try_number"] == 1, "no retry helps"
    assert "churn, demand, vision" in log(parsed, "tasks", name, "unknown")
    trace = log(parsed, "tasks", name, "wrong")
    line = project.DAGS[: project.DAGS.index("raise ValueError")].count("\n") + 1
    assert "ValueError: the data is too old" in trace
    assert f"line {line}" in trace
    assert project.results(parsed, "tasks", name, "script").startswith("1.5.")
    variables = project.results(parsed, "tasks", name, "environ")
    assert variables["OMP_NUM_THREADS"] == "1", "environment.yml says so"
    assert not [key for key in variables if "AIRFLOW" in key or "CREDENTIALS" in key]
    values = " ".join(variables.values())
    for secret in ("fernet_key", "jwt_secret"):
        assert parsed.ssh(f"cat /etc/mlops/secrets/{secret}") not in values


def test_a_timeout_leaves_no_process(parsed: Server) -> None:
    mark = str(secrets.randbelow(10**6) + 10**6)
    name = trigger(parsed, "forever", mark=mark)
    wait_for(lambda: parsed.ssh(f"pgrep -fc 'sleep {mark}' || true") >= "2", "its processes")
    assert ended(parsed, "forever", name) == "failed"
    assert parsed.ssh(f"pgrep -f 'sleep {mark}$' || true") == ""


def test_an_upgrade_leaves_running_tasks_and_other_models_alone(parsed: Server) -> None:
    before = {model: path_of(parsed, model) for model in ("churn", "demand")}
    release = parsed.ssh("readlink -f /srv/mlops/workflows/current")
    file = f"/srv/mlops/data/slow-{secrets.token_hex(4)}"
    name = trigger(parsed, "one_slow", file=file, seconds=300)
    wait_for(lambda: parsed.ssh(f"cat {file} 2>/dev/null || true") == before["churn"], "its start")
    text = project.CHURN.replace("scikit-learn 1.5.*", "scikit-learn 1.7.*").replace("<2", ">=2")
    (parsed.project / "models/churn/environment.yml").write_text(text)
    stale = parsed.cli("plan")
    assert stale.returncode == 1
    assert "mlops-install lock churn" in stale.output
    assert lock(parsed, "--check").returncode == 2
    assert lock(parsed, "churn").returncode == 0
    done = parsed.apply()
    assert "environment demand" not in done.output
    assert path_of(parsed, "demand") == before["demand"]
    assert path_of(parsed, "churn") != before["churn"]
    assert parsed.sql(f"select state from task_instance where run_id = '{name}'") == "running"
    parsed.ssh(f"touch {file}.enough")
    assert ended(parsed, "one_slow", name) == "success"
    result = project.results(parsed, "one_slow", name, "slow")
    assert result["prefix"] == before["churn"]
    assert result["version"].startswith("1.5.")
    later = project.results(parsed, "one_slow", name, "after")
    assert later["version"].startswith("1.5."), "the run keeps its release, in later tasks too"
    assert later["release"] == release
    wait_for(lambda: current_version(parsed) != release, "the new release in Airflow", 60)
    again = trigger(parsed, "one_slow", file=file, seconds=0)
    assert ended(parsed, "one_slow", again) == "success"
    assert project.results(parsed, "one_slow", again, "slow")["version"].startswith("1.7.")
    assert parsed.ssh(f"ls -d {before['churn']}") == before["churn"], "kept for a rollback"


DAMAGES = {
    "a file is changed": "sed -i 1s/^/#/ lib/python3.11/site-packages/sklearn/__init__.py",
    "a file is gone": "rm lib/python3.11/site-packages/numpy/version.py",
    "a file is new": "touch lib/python3.11/site-packages/extra.py",
    "a package is gone": "rm -r lib/python3.11/site-packages/tabulate*",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_what_changes_in_an_environment_is_found(workshop: Server, damage: str) -> None:
    before = path_of(workshop, "demand")
    workshop.ssh(f"cd {before} && {damage}")
    plan = workshop.cli("plan")
    assert plan.returncode == 2
    assert "environment demand" in plan.stdout
    found = workshop.try_ssh("mlops env check demand")
    assert found.returncode == 2, found.stdout
    workshop.apply()
    assert path_of(workshop, "demand") != before, "never in place"
    plan = workshop.cli("plan")
    assert plan.returncode == 0, plan.end


def test_verify_finds_what_the_listing_cannot(workshop: Server) -> None:
    """A file whose content changed, with a listing that was forged to match."""
    prefix = path_of(workshop, "demand")
    workshop.ssh(
        f"cd {prefix} && sed -i 1s/^/#/ lib/python3.11/site-packages/sklearn/__init__.py\n"
        f"{COMMAND} > .mlops/files"
    )
    plan = workshop.cli("plan")
    assert plan.returncode == 0, plan.end
    done = workshop.cli("verify", "--json")
    failed = [c["name"] for c in done.json["checks"] if c["outcome"] == "FAILED"]
    assert failed == ["environments are as they were built"]
    workshop.ssh(f"rm {prefix}/.mlops/files")
    workshop.apply()
    assert workshop.cli("verify").returncode == 0


def test_verify_finds_environments_that_tasks_cannot_use(workshop: Server) -> None:
    churn, vision = path_of(workshop, "churn"), "/opt/mlops/envs/vision"
    link = f"{vision}/{workshop.ssh(f'readlink {vision}/current').rpartition('/')[2]}"
    workshop.ssh(
        f"chmod 0700 {churn}/bin/python3*; chmod o+w /opt/mlops/envs/churn\n"
        f"mv {link} ~/aside; mv {vision}/current ~/current"
    )
    done = workshop.cli("verify", "--json")
    workshop.ssh(
        f"chmod 0755 {churn}/bin/python3*; chmod o-w /opt/mlops/envs/churn\n"
        f"mv ~/aside {link}; mv ~/current {vision}/current"
    )
    failed = {c["name"]: c["reason"] for c in done.json["checks"] if c["outcome"] == "FAILED"}
    wanted = {
        "the models of the project have their environments": "not built from today's lock: vision",
        "their interpreters start for tasks": "churn: ",
        "tasks cannot change environments": "others may change /opt/mlops/envs/churn",
        "its environments exist": f"{link} is missing",
    }
    wrong = {n: failed.get(n, "ok") for n, text in wanted.items() if text not in failed.get(n, "")}
    assert wrong == {}
    workshop.apply()
    assert workshop.cli("verify").returncode == 0


def test_a_kill_in_a_build_is_healed(workshop: Server) -> None:
    workshop.ssh("rm -rf /opt/mlops/envs/demand /var/cache/mlops/conda")
    program = workshop.start("apply", "--yes", "--no-verify")
    filling = "ls -d /opt/mlops/envs/demand/builds/*.new/tree/conda-meta || true"
    wait_for(lambda: workshop.ssh(filling), "the build", 60, 0.05)
    workshop.try_ssh("pkill -9 -f mlops_server")
    output, _ = program.communicate(timeout=120)
    assert program.returncode == 1, output
    assert "environment demand" in output
    workshop.apply()
    assert workshop.cli("verify").returncode == 0
    assert len(workshop.ssh("ls /opt/mlops/envs/demand/builds").split()) == 1
