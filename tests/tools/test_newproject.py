"""`new-project`: its files, its own checks, and its workflow for real, in its two environments."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from machine import need
from mlops_install import lock, newproject
from mlops_install.errors import ConfigError
from mlops_install.lock import LockOptions
from mlops_install.newproject import pull
from mlops_install.newproject.errors import CheckError
from mlops_install.workflowsettings import Workflows
from mlops_server.layout import lock_hash

CALL = """\
import importlib, json, sys
sys.path.insert(0, "")
module, _, name = sys.argv[1].partition(".")
function = getattr(importlib.import_module(module), name)
results = [function(*arguments) for arguments in json.load(sys.stdin)]
print()
print(json.dumps(results))
"""
MODELS = ("baseline", "seasonal")
BOUND = 3.0  # as in watch_drift.py


@pytest.fixture(scope="session")
def starter(conda_forge, tmp_path_factory):
    """A new project with its locks, and a folder for its environments."""
    return Starter(conda_forge, tmp_path_factory.mktemp("starter"))


@pytest.fixture(scope="session")
def checked(starter):
    """The project whose own checks have passed, so that its environments are there."""
    starter.output = starter.check("locks", "models", "tests")
    return starter


@pytest.fixture(scope="session")
def first(checked, tmp_path_factory):
    """The first training, at the end of 1999, in a data folder that nobody changes."""
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPS_DATA", str(folder))
        return folder, *checked.cycle("1999-12-31")


@pytest.fixture
def data(first, tmp_path, monkeypatch):
    """MLOPS_DATA: a copy of what the first training left."""
    shutil.copytree(first[0], tmp_path / "data", symlinks=True)
    monkeypatch.setenv("MLOPS_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


class Starter:
    """A project made by new-project."""

    def __init__(self, conda_forge, root):
        self.folder, self.work, self.config = root / "project", root / "work", root / "mlops.toml"
        newproject.create(self.folder, list(newproject.CI_FILES), lambda line: None)
        mirrors = {"conda-forge": conda_forge.at("127.0.0.1")}
        assert lock.run(self.folder, (), LockOptions(mirrors=mirrors)) == 0
        pairs = "".join(f'"{channel}" = "{url}"\n' for channel, url in mirrors.items())
        self.config.write_text(f"[models.channel_mirrors]\n{pairs}")

    def check(self, *steps, code=0, folder=None, **more):
        """Run ci/check; what it says."""
        environ = {k: v for k, v in os.environ.items() if k != "MLOPS_INSTALL"}
        environ |= {"MLOPS_PYTHON": sys.executable, "MLOPS_CONFIG": str(self.config)}
        environ |= {"CI_WORK": str(self.work), **more}
        command = [(folder or self.folder) / "ci/check", *steps]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, cwd="/")
        said = done.stdout + done.stderr
        assert done.returncode == code, said
        return said

    def call(self, environment, function, *args):
        """Call a function of a model in its environment, as a task does; its result."""
        return self.calls(environment, function, args)[0]

    def calls(self, environment, function, *many):
        """Call it several times in one process."""
        locked = self.folder / "models" / environment / "conda-lock.yml"
        name = lock_hash(locked.read_bytes())
        prefix = self.work / "server/opt/mlops/envs" / environment / name
        done = subprocess.run(
            [prefix / "bin/python", "-B", "-c", CALL, function], input=json.dumps(many),
            capture_output=True, text=True, cwd=self.folder / "models" / environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def cycle(self, today, shift=0.0):
        """What forecast_integrated does, up to the forecasts: prepared, metrics, forecasts."""
        prepared = self.call("common", "preparation.prepare", "test", today, shift)
        file = prepared["file"]
        trained = {model: self.call(model, "training.train", file) for model in MODELS}
        promotions = [(file, trained[model]) for model in MODELS]
        metrics = self.calls("common", "promotion.promote", *promotions)
        forecasts = {model: self.call(model, "training.forecast", file)["rows"] for model in MODELS}
        return prepared, dict(zip(MODELS, metrics, strict=True)), forecasts


@pytest.fixture(scope="session")
def database():
    """A PostgreSQL of our own, reached by its socket."""
    tools = Path(need("initdb")).parent
    user = "postgres" if os.geteuid() == 0 else None
    root = Path(tempfile.mkdtemp(prefix="pg-"))
    if user:
        shutil.chown(root, user)
    run = {"check": True, "user": user, "cwd": "/", "capture_output": True}
    subprocess.run([tools / "initdb", "-D", root / "data", "-A", "trust", "-U", "tester"], **run)
    options = f"-k {root} -c listen_addresses='' -c fsync=off"
    command = [tools / "pg_ctl", "-D", root / "data", "-w", "-l", root / "log", "-o", options]
    # A pipe would stay open in the server, and nobody would see its end.
    silent = {"check": True, "user": user, "cwd": "/", "stdout": subprocess.DEVNULL}
    subprocess.run([*command, "start"], **silent)
    yield f"host={root} dbname=postgres user=tester"
    subprocess.run([*command, "-m", "immediate", "stop"], **silent)
    shutil.rmtree(root)


def test_the_files_are_written_and_only_the_ci_systems_asked_for(tmp_path):
    said = []
    newproject.create(tmp_path / "new", ["gitlab", "drone"], said.append)
    names = {str(p.relative_to(tmp_path / "new")) for p in (tmp_path / "new").rglob("*")}
    names = {name for name in names if not name.startswith(".git/")}
    assert {"README.md", ".gitignore", ".drone.yml", ".gitlab-ci.yml", "ci/check"} <= names
    assert "dags/forecast_integrated.py" in names
    assert not {"Jenkinsfile", ".github"} & names
    assert not [name for name in names if "conda-lock" in name or "__pycache__" in name]
    assert os.access(tmp_path / "new/ci/check", os.X_OK)
    assert said == [f"wrote {tmp_path / 'new'}", "a Git repository with the branch main"]


def branch(folder: Path) -> str:
    words = ["git", "-C", folder, "symbolic-ref", "HEAD"]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def test_the_branch_is_the_one_that_is_pulled_whatever_git_calls_it(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")  # stock Git: master
    newproject.create(tmp_path / "new", [], print)
    assert branch(tmp_path / "new") == "refs/heads/main"
    fresh = tmp_path / "fresh"
    subprocess.run(["git", "init", "-q", "-b", "master", fresh], check=True)
    newproject.create(fresh, [], print)
    assert branch(fresh) == "refs/heads/main"
    assert Workflows().ref == newproject.BRANCH


def test_in_a_repository_with_commits_nothing_is_made(tmp_path):
    git = ["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q", "-b", "trunk"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run([*git, *words], check=True)
    said = []
    newproject.create(tmp_path / "new", [], said.append)
    assert said == [f"wrote {tmp_path / 'new'}"]
    assert branch(tmp_path) == "refs/heads/trunk"
    assert not (tmp_path / "new/.git").exists()


def test_after_a_failure_the_same_command_goes_on(tmp_path):
    folder = tmp_path / "new"
    newproject.create(folder, ["gitlab"], print)
    (folder / "models/common/conda-lock.yml").write_text("of the run before")
    (folder / "README.md").unlink()
    newproject.create(folder, ["gitlab"], print)
    assert (folder / "README.md").is_file()
    (folder / "dags/watch_drift.py").write_text("mine")
    with pytest.raises(ConfigError, match=r"is not empty: it has dags/watch_drift\.py"):
        newproject.create(folder, ["gitlab"], print)
    assert (folder / "dags/watch_drift.py").read_text() == "mine"


def test_a_folder_with_files_is_refused_and_a_fresh_repository_is_not(tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path / "repository"], check=True)
    newproject.create(tmp_path / "repository", [], print)
    (tmp_path / "repository/mine.txt").touch()
    with pytest.raises(ConfigError, match=r"is not empty: it has mine\.txt"):
        newproject.create(tmp_path / "repository", [], print)
    with pytest.raises(ConfigError, match="travis is not a known CI system"):
        newproject.create(tmp_path / "other", ["travis"], print)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot write"):
        newproject.create(tmp_path / "file", [], print)


def test_the_starter_is_formatted_and_clean(starter):
    ruff = [sys.executable, "-m", "ruff"]
    options = ["--no-cache", "--line-length=100"]
    subprocess.run([*ruff, "format", "--check", *options, starter.folder], check=True)
    subprocess.run([*ruff, "check", "--select=E,F,I,B,UP", *options, starter.folder], check=True)


def test_the_project_passes_its_own_checks(checked):
    assert checked.output.count(" passed") == 4
    for name in ("baseline", "common", "seasonal"):
        assert f"{name}: up to date" in checked.output


@pytest.mark.slow
def test_the_dags_import_in_the_server_s_airflow(checked):
    assert "5 DAG files, 5 DAGs" in checked.check("dags")
    broken = checked.work / "broken"
    shutil.copytree(checked.folder, broken)
    (broken / "dags/bad.py").write_text("from airflow.sdk import dag\n1 / 0\n")
    twice = (broken / "dags/train.py").read_text().replace('env="common"', 'env="nowhere"')
    (broken / "dags/twice.py").write_text(twice)
    said = checked.check("dags", folder=broken, code=1)
    assert "dags/bad.py: " in said
    assert "ZeroDivisionError" in said
    assert "train: 2 DAGs have this id" in said
    assert "dags/twice.py: task baseline.promote: there is no models/nowhere" in said


def test_a_check_that_fails_stops_with_the_reason(checked, tmp_path):
    shutil.copytree(checked.folder, tmp_path / "p")
    with (tmp_path / "p/models/baseline/environment.yml").open("a") as file:
        file.write("  - tabulate\n")
    assert "a lock is stale" in checked.check("locks", "models", folder=tmp_path / "p", code=1)
    (tmp_path / "p/tests/test_more.py").write_text("def test_more():\n    assert 1 == 2\n")
    assert "tests fail" in checked.check("tests", folder=tmp_path / "p", code=1)
    assert "nothing is not a step" in checked.check("nothing", code=1)
    assert "MLOPS_INSTALL" in checked.check("tests", code=2, MLOPS_PYTHON="")


def test_the_versions_of_the_two_models_conflict(checked):
    found = {}
    for model in ("baseline", "seasonal"):
        text = (checked.folder / "models" / model / "conda-lock.yml").read_text()
        found[model] = {
            name: text.split(f"name: {name}\n  version: ")[1].split("\n")[0]
            for name in ("numpy", "scikit-learn")
        }
    assert found["baseline"]["numpy"].startswith("1.")
    assert found["seasonal"]["numpy"].startswith("2.")
    assert found["baseline"]["scikit-learn"] != found["seasonal"]["scikit-learn"]


def test_the_seasonal_model_beats_the_baseline_and_naive_forecasts(checked, data):
    days = ("1975-06-30", "1985-06-30", "1995-06-30", "1999-12-31")
    prepared = checked.calls("common", "preparation.prepare", *[(day, day) for day in days])
    errors = dict.fromkeys([*MODELS, "the last value", "the last year"], 0.0)
    files = [(one["file"],) for one in prepared]
    trained = {model: checked.calls(model, "training.train", *files) for model in MODELS}
    for number, one in enumerate(prepared):
        lines = Path(one["file"]).read_text().splitlines()[1:]
        values = [float(line.split(",")[1]) for line in lines]
        predicted = {model: trained[model][number]["candidate"] for model in MODELS}
        predicted["the last value"] = [values[-14]] * 13
        predicted["the last year"] = values[-65:-52]
        for name, row in predicted.items():
            pairs = zip(row, values[-13:], strict=True)
            errors[name] += sum(abs(p - v) for p, v in pairs) / 13 / len(days)
    print(errors)
    assert errors["seasonal"] < 0.5 < errors["baseline"] < errors["the last value"]
    assert errors["seasonal"] < errors["the last year"] / 2


def test_preparation_leaves_data_scope_and_report(first):
    folder, prepared, _, _ = first
    assert prepared["scope"] == {
        "from": "1958-03-29", "to": "1999-12-25", "rows": 2179, "missing": 59,
        "today": "1999-12-31", "reason": "schedule",
    }  # fmt: skip
    assert "<svg" in (folder / "reports/test.html").read_text()


def test_only_what_is_better_goes_into_production(checked, first, data):
    _, prepared, metrics, _ = first
    assert all(metrics[model]["promoted"] for model in MODELS)
    file = prepared["file"]
    again = [(file, checked.call(model, "training.train", file)) for model in MODELS]
    judged = checked.calls("common", "promotion.promote", *again)
    assert not any(one["promoted"] for one in judged)
    for model in MODELS:
        home = data / "models" / model
        assert os.readlink(home / "production") == f"versions/{metrics[model]['version']}"
        assert json.loads((home / "production/metrics.json").read_text())["promoted"]


@pytest.mark.parametrize("model", MODELS)
def test_the_service_serves_what_is_in_production(checked, first, model):
    folder, _, _, forecasts = first
    module = checked.folder / "models" / model / "once.py"
    module.write_text(
        "import service\n\n\ndef answer(folder, request):\n    service.check(request)\n"
        "    return service.predict(service.load(folder), request)\n"
    )
    production = str(folder / "models" / model / "production")
    weeks = [week for week, _ in forecasts[model]]
    answer = checked.call(model, "once.answer", production, {"weeks": weeks})
    module.unlink()
    assert answer["co2"] == pytest.approx([value for _, value in forecasts[model]], abs=0.001)


def test_the_tests_of_the_forecast_table_pass(checked, database, monkeypatch):
    monkeypatch.setenv("FORECAST_DATABASE", database)
    said = checked.check("models")
    assert "skipped" not in said


def test_a_drift_is_found_and_trained_away(checked, first, data, database, monkeypatch):
    monkeypatch.setenv("FORECAST_DATABASE", database)
    published = [(model, "first", first[3][model]) for model in MODELS]
    assert checked.calls("common", "forecasts.publish", *published) == [26, 26]
    quiet, loud = checked.calls(
        "common", "drift.measure",
        (MODELS, "2000-06-30", 0.0, BOUND), (MODELS, "2000-06-30", 5.0, BOUND),
    )  # fmt: skip
    assert quiet["reason"] == ""
    assert max(quiet["errors"].values()) < 1.5
    assert min(loud["errors"].values()) > 3.5
    assert loud["reason"].startswith("baseline: live error 4.")
    _, metrics, forecasts = checked.cycle("2000-06-30", 5.0)
    for model in MODELS:
        assert metrics[model]["promoted"]
        assert metrics[model]["error"] < metrics[model]["error_in_production"] - 1
    published = [(model, "second", forecasts[model]) for model in MODELS]
    checked.calls("common", "forecasts.publish", *published)
    after = checked.call("common", "drift.measure", MODELS, "2000-09-30", 5.0, BOUND)
    assert after["reason"] == ""
    assert after["errors"]["seasonal"] < 1


class Api(BaseHTTPRequestHandler):
    """As much of Airflow's API as a start of a DAG needs."""

    def do_POST(self):
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, self.headers.get("Authorization"), content))
        known = {"/auth/token": {"access_token": "t"},
                 "/api/v2/dags/mlops_pull/dagRuns": {"dag_run_id": "manual"}}  # fmt: skip
        right = content.get("password", "right") == "right"
        self.send_response(201 if right else 401)
        self.end_headers()
        self.wfile.write(json.dumps(known[self.path]).encode())

    def log_message(self, *message):
        pass


@pytest.fixture
def api():
    """The address of the API, and what it has been asked."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        server.seen = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", server.seen
        server.shutdown()


def test_the_server_is_told_to_pull(api):
    url, seen = api
    given = {"PULL_URL": url, "PULL_USER": "ci", "PULL_PASSWORD": "right"}
    assert pull.now(given) == "the server pulls now: manual"
    assert seen[1] == ("/api/v2/dags/mlops_pull/dagRuns", "Bearer t", {"logical_date": None})
    pull.now({"PULL_URL": url, "PULL_TOKEN": "mine"})
    assert seen[2][1] == "Bearer mine"
    with pytest.raises(CheckError, match="answers 401") as caught:
        pull.now(given | {"PULL_PASSWORD": "wrong"})
    assert "wrong" not in str(caught.value)
    assert "not set" in pull.now({})
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with pytest.raises(CheckError, match="cannot be told to pull"):
        pull.now({"PULL_URL": f"http://127.0.0.1:{port}", "PULL_TOKEN": "mine"})
