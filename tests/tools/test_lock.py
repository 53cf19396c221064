"""`mlops-install lock`: the real conda-lock with our solver, on channels of this machine."""

import base64
import hashlib
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from mlops_install import lock
from mlops_install.errors import ConfigError, MlopsError
from mlops_install.lock import LockOptions, contents, failures, project
from pydantic import SecretStr

SOLVER = [sys.executable, "-m", "mlops_install.condasolver"]
LOGIN = "Basic " + base64.b64encode(b"u:p w").decode()


# --- a channel of which only the index is there, and an index of wheels -----------------------


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; `login` and `delay` are of the server."""

    def do_GET(self):
        time.sleep(self.server.delay)
        if self.server.login and self.headers.get("Authorization") != LOGIN:
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic")
            self.end_headers()
        else:
            super().do_GET()

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *words):
        pass


@contextmanager
def served(folder: Path, login: bool = False, delay: float = 0) -> Iterator[str]:
    """The folder's address while the context lasts."""
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Handler, directory=str(folder))
    ) as server:
        server.login, server.delay, server.daemon_threads = login, delay, True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def record(name: str, version: str, *depends: str, build: str = "h_0", number: int = 0) -> dict:
    sha = hashlib.sha256(f"{name}-{version}-{build}".encode()).hexdigest()
    return {
        "name": name, "version": version, "build": build, "build_number": number,
        "depends": depends, "md5": sha[:32], "sha256": sha, "size": 1, "subdir": "linux-64",
    }  # fmt: skip


RECORDS = [
    record("python", "3.11.7"),
    record("pip", "24.0", "python"),
    record("numpy", "1.26.4", "python >=3.11"),
    record("numpy", "2.1.0", "python >=3.11"),
    record("scikit-learn", "1.5.2", "numpy >=1.26,<2", "python"),
    record("scikit-learn", "1.7.2", "numpy >=2", "python"),
    record("pytorch", "2.4.0", "python", build="cpu_0"),
    record("pytorch", "2.4.0", "python", "__cuda >=12", build="cuda_1", number=1),
    record("newer", "1", "__glibc >=2.34"),
    record("gpuonly", "1", "__cuda >=12"),
    record("unsure", "1") | {"sha256": None},
]


def index(folder: Path, records: list[dict]) -> Path:
    """The index of a channel."""
    for subdir in ("linux-64", "noarch"):
        packages = {f"{r['name']}-{r['version']}-{r['build']}.conda": r for r in records}
        packages = packages if subdir == "linux-64" else {}
        content = {"info": {"subdir": subdir}, "packages": {}, "packages.conda": packages}
        (folder / subdir).mkdir(parents=True, exist_ok=True)
        (folder / subdir / "repodata.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def channel(tmp_path_factory) -> Iterator[Path]:
    return index(tmp_path_factory.mktemp("channel"), RECORDS)


@pytest.fixture(scope="module")
def mirror(channel) -> Iterator[str]:
    with served(channel) as url:
        yield url


@pytest.fixture(autouse=True)
def _own_caches(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write(root: Path, *packages: str, name: str = "churn", pip: str = "") -> Path:
    """A model that asks for these packages; the project's folder."""
    folder = root / "models" / name
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"  - {package}" for package in ("python =3.11", *packages)]
    lines += ["  - pip:", f"      - {pip}"] if pip else []
    text = "\n".join(["channels:", "  - conda-forge", "dependencies:", *lines, ""])
    (folder / "environment.yml").write_text(text)
    return root


def options(mirror: str, **more: object) -> LockOptions:
    return LockOptions(mirrors={"conda-forge": mirror}, **more)


def locked(root: Path, name: str = "churn") -> dict[str, str]:
    """Package -> version of a lock that every plan would take."""
    (found,) = (model for model in project.read(root) if model.name == name)
    return {package["name"]: package["version"] for package in contents.packages(found.lock)}


def failure(root: Path, wish: LockOptions) -> str:
    with pytest.raises(MlopsError) as caught:
        lock.run(root, [], wish)
    return f"{caught.value.message}\n{caught.value.detail}\n{caught.value.fix}"


# --- a lock's life ----------------------------------------------------------------------------


def test_locks_keeps_checks_and_updates(tmp_path, mirror, capfd):
    root, path = write(tmp_path, "scikit-learn =1.5"), tmp_path / "models/churn/conda-lock.yml"
    wish = options(mirror)
    assert lock.run(root, [], options(mirror, check=True)) == 2
    assert "there is no conda-lock.yml" in capfd.readouterr().err
    assert lock.run(root, [], wish) == 0
    assert locked(root) == {"python": "3.11.7", "numpy": "1.26.4", "scikit-learn": "1.5.2"}
    assert "https://conda.anaconda.org/conda-forge/linux-64/numpy-1.26.4-h_0.conda" in (
        path.read_text()
    )
    assert mirror not in path.read_text()
    assert "__cuda" not in path.read_text()

    before = path.read_bytes()
    assert lock.run(root, [], wish) == 0
    assert "up to date" in capfd.readouterr().err
    assert lock.run(root, [], options(mirror, check=True)) == 0
    assert path.read_bytes() == before

    write(tmp_path, "scikit-learn", "pytorch")  # what fits stays
    assert lock.run(root, [], options(mirror, check=True)) == 2
    assert "environment.yml was changed" in capfd.readouterr().err
    lock.run(root, [], wish)
    assert "+pytorch 2.4.0" in capfd.readouterr().err
    assert locked(root)["scikit-learn"] == "1.5.2"

    lock.run(root, ["churn"], options(mirror, update=("scikit-learn",)))
    assert "scikit-learn 1.5.2 → 1.7.2" in capfd.readouterr().err
    assert locked(root)["scikit-learn"] == "1.7.2"
    assert sorted(os.listdir(path.parent)) == ["conda-lock.yml", "environment.yml"]


def doubled(text: str) -> str:
    """As a clean `git merge` of two re-locked branches may leave it: numpy is there twice."""
    start = text.index("- name: numpy")
    end = text.index("\n- name:", start) + 1
    return text[:end] + text[start:end].replace("1.26.4", "2.1.0") + text[end:]


DAMAGES = {
    "numpy is in the lock twice for linux-64": doubled,
    "a mark of an unfinished merge": lambda text: text.replace(
        "- name: numpy", "<<<<<<< HEAD\n- name: numpy"
    ),
    "cannot be read": lambda text: text[: text.index("- name: numpy") + 40],
}


@pytest.mark.parametrize("says", DAMAGES)
def test_a_damaged_lock_is_stale_and_is_repaired(tmp_path, mirror, capfd, says):
    root, path = write(tmp_path, "scikit-learn =1.5"), tmp_path / "models/churn/conda-lock.yml"
    lock.run(root, [], options(mirror))
    before = path.read_bytes()
    path.write_text(DAMAGES[says](before.decode()))
    capfd.readouterr()
    assert lock.run(root, [], options(mirror, check=True)) == 2
    assert says in capfd.readouterr().err
    assert lock.run(root, [], options(mirror)) == 0
    assert path.read_bytes() == before


@pytest.mark.parametrize("text", ["name: [", "platforms: [a]", "variables: {A: 1, A: 2}"])
def test_a_check_of_what_cannot_be_read_is_an_error_in_words(tmp_path, mirror, text):
    path = write(tmp_path) / "models/churn/environment.yml"
    path.write_text(f"{path.read_text()}{text}\n")
    for check in (True, False):
        assert "models/churn/environment.yml" in failure(tmp_path, options(mirror, check=check))


def test_a_gpu_model_is_locked_without_a_gpu(tmp_path, mirror):
    root = write(write(tmp_path, "pytorch", name="cpu"), "pytorch", "newer", name="gpu")
    (root / "models/gpu/model.toml").write_text('cuda = "12.8"\n')
    lock.run(root, [], options(mirror))
    assert "pytorch-2.4.0-cpu_0.conda" in (root / "models/cpu/conda-lock.yml").read_text()
    assert "pytorch-2.4.0-cuda_1.conda" in (root / "models/gpu/conda-lock.yml").read_text()


def test_conda_lock_itself_takes_the_lock_and_the_solver(tmp_path, mirror):
    """Its own --update and --check-input-hash, with our solver as its --conda."""
    root = write(tmp_path, "scikit-learn =1.5")
    lock.run(root, [], options(mirror))
    write(root, "scikit-learn")
    lock.run(root, [], options(mirror))
    wrapper = tmp_path / "another"
    config = tmp_path / "rattler.toml"
    config.write_text(f'[mirrors]\n"https://conda.anaconda.org/conda-forge" = ["{mirror}"]\n')
    wrapper.write_text(f'#!/bin/sh\nMLOPS_RATTLER_CONFIG={config} exec {" ".join(SOLVER)} "$@"\n')
    wrapper.chmod(0o700)
    wish = LockOptions(conda=str(wrapper), update=("scikit-learn",))
    lock.run(root, [], wish)
    assert locked(root)["scikit-learn"] == "1.7.2"
    assert "does not ask for numpy" in failure(
        root, LockOptions(conda=str(wrapper), update=("numpy",))
    )


def test_pip_sections_from_a_private_index_with_a_login(tmp_path, mirror, capfd):
    """Only the private index is asked: PyPI may be out of reach."""
    shelf, root = tmp_path / "index", write(tmp_path, pip="tinypkg >=1")
    page = shelf / "simple/tinypkg/index.html"
    page.parent.mkdir(parents=True)
    first = wheel(shelf, "1.0")
    page.write_text(first)
    with served(shelf, login=True) as url:
        index_url = url.replace("http://", "http://u:p%20w@") + "/simple"
        lock.run(root, [], options(mirror, python_index=index_url))
        text = (root / "models/churn/conda-lock.yml").read_text()
        assert f"url: {url}/tinypkg-1.0-py3-none-any.whl" in text
        assert "p%20w" not in text
        page.write_text(first + wheel(shelf, "1.1"))
        lock.run(
            write(root, "numpy", pip="tinypkg >=1"), [], options(mirror, python_index=index_url)
        )
        assert locked(root)["tinypkg"] == "1.0", "what fits stays"
        lock.run(root, [], options(mirror, python_index=index_url, update=("tinypkg",)))
        assert locked(root)["tinypkg"] == "1.1"
        says = failure(write(root, pip="tinypkg >=2"), options(mirror, python_index=index_url))
    assert "doesn't match any versions" in says
    assert "models/churn/environment.yml:6: tinypkg >=2" in says


def wheel(folder: Path, version: str) -> str:
    """Make a wheel; its line in the index."""
    name = f"tinypkg-{version}-py3-none-any.whl"
    info = f"tinypkg-{version}.dist-info"
    with zipfile.ZipFile(folder / name, "w") as out:
        out.writestr("tinypkg.py", "")
        out.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tinypkg\nVersion: {version}\n"
        )
        out.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        out.writestr(f"{info}/RECORD", "")
    sha = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    return f'<a href="/{name}#sha256={sha}">{name}</a>\n'


def test_a_lock_of_real_packages(tmp_path, conda_forge):
    from rattler import LockFile

    root = write(tmp_path, "scikit-learn =1.5")
    lock.run(root, [], options(conda_forge.url))
    assert locked(root)["scikit-learn"] == "1.5.2"
    records = LockFile.from_path(root / "models/churn/conda-lock.yml").default_environment()
    assert records is not None
    found = records.conda_repodata_records()["linux-64"]
    assert {"python", "numpy", "scipy", "joblib"} <= {r.name.normalized for r in found}
    assert all(str(r.url).startswith("https://conda.anaconda.org/conda-forge/") for r in found)


# --- failures ---------------------------------------------------------------------------------


def test_a_conflict_is_told_in_the_solvers_words_and_leaves_the_old_lock(tmp_path, mirror):
    root, path = write(tmp_path, "numpy"), tmp_path / "models/churn/conda-lock.yml"
    path.write_text("the old lock\n")
    says = failure(write(root, "numpy >=2", "scikit-learn =1.5"), options(mirror))
    assert "└─ numpy >=1.26,<2, for which no candidates were found" in says
    assert "models/churn/environment.yml:5: numpy >=2" in says
    assert "models/churn/environment.yml:6: scikit-learn =1.5" in says
    assert "SHA-256" in failure(write(root, "unsure"), options(mirror))
    assert path.read_text() == "the old lock\n"


def told(root: Path, mirror: str, *specs: str) -> str:
    """What a failure of the solver becomes, without conda-lock between the two."""
    config, left = root / "rattler.toml", root / "failure.json"
    config.write_text(f'[mirrors]\n"https://conda.anaconda.org/conda-forge" = ["{mirror}"]\n')
    code, _ = solver(
        "create", "-c", "conda-forge", *specs, MLOPS_RATTLER_CONFIG=str(config),
        MLOPS_CONDA_CACHE=str(root / "cache"), MLOPS_CONDA_FAILURE=str(left),
    )  # fmt: skip
    assert code == 1
    problem = failures.of_solver(project.source(root, "churn", None), json.loads(left.read_text()))
    return f"{problem.message}\n{problem.detail}\n{problem.fix}"


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("scikit-lern", "no channel has scikit-lern; did you mean scikit-learn?"),
        ("numpy 9.*", "the newest versions of numpy are 2.1.0, 1.26.4"),
        ("newer", "an older version: the server's C library counts as 2.36"),
        ("gpuonly", 'cuda = "12.8"'),
    ],
)
def test_what_is_not_there_is_told_with_what_is(tmp_path, mirror, spec, says):
    assert says in told(write(tmp_path, "numpy"), mirror, spec)


def test_channels_that_are_not_there(tmp_path, channel, mirror):
    root = write(tmp_path, "numpy")
    assert "there is no such channel" in told(root, f"{mirror}/nothing", "numpy")
    assert "127.0.0.1:9 cannot be reached" in told(root, "http://127.0.0.1:9", "numpy")
    with served(channel, login=True) as url:
        assert "refused us (401)" in told(root, url, "numpy")


def test_a_channel_that_wants_a_login(tmp_path, channel):
    root = write(tmp_path, "numpy")
    with served(channel, login=True) as url:
        lock.run(root, [], options(url, user="u", password=SecretStr("p w")))
    assert locked(root)["numpy"] == "2.1.0"


def test_a_login_does_not_go_to_channels_without_a_mirror(tmp_path, mirror):
    root = write(tmp_path, "numpy")
    path = root / "models/churn/environment.yml"
    path.write_text(path.read_text().replace("- conda-forge", "- conda-forge\n  - bioconda"))
    with pytest.raises(ConfigError, match="bioconda has no mirror"):
        lock.run(root, [], options(mirror, user="u", password=SecretStr("p")))


def test_wrong_options_are_told_before_anything_is_solved(tmp_path):
    root = write(tmp_path, "numpy")
    assert "no program nowhere" in failure(root, LockOptions(conda="nowhere"))
    assert "no file" in failure(root, LockOptions(pypi_names="nowhere.json"))
    assert "osx-64 is not a platform" in failure(root, LockOptions(platforms=("osx-64",)))


def test_ctrl_c_leaves_the_old_lock_and_no_process(tmp_path, channel):
    root, path = write(tmp_path, "numpy"), tmp_path / "models/churn/conda-lock.yml"
    path.write_text("the old lock\n")
    code = (
        "import sys, pathlib; from mlops_install import lock;"
        "lock.run(pathlib.Path(sys.argv[1]), [],"
        " lock.LockOptions(mirrors={'conda-forge': sys.argv[2]}))"
    )
    with served(channel, delay=30) as url:
        env = {**os.environ, "TMPDIR": str(tmp_path)}
        run = subprocess.Popen(
            [sys.executable, "-c", code, str(root), url],
            env=env, stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
        assert "locking" in run.stderr.readline()
        time.sleep(1.5)
        run.send_signal(signal.SIGINT)
        assert "KeyboardInterrupt" in run.communicate(timeout=20)[1]
        running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert f"{tmp_path}/mlops-lock-" not in running
    assert path.read_text() == "the old lock\n"
    assert not list(tmp_path.glob("mlops-lock-*"))


# --- the solver -------------------------------------------------------------------------------


def solver(*words: str, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [*SOLVER, *words], env={**os.environ, **environment}, capture_output=True, text=True
    )
    return done.returncode, done.stdout


def test_the_solver_answers_as_a_conda_does(tmp_path, mirror):
    assert solver("--version")[1].startswith("mlops-conda-solver ")
    assert json.loads(solver("info", "--json")[1])["pkgs_dirs"] == []
    assert json.loads(solver("list", "--no-pip", "-p", str(tmp_path), "--json")[1]) == []
    words = ["create", "--prefix", "p", "--dry-run", "--json", "--override-channels"]
    words += ["--channel", mirror, "numpy 1.26.4"]
    cache = str(tmp_path / "cache")
    code, text = solver(*words, CONDA_SUBDIR="linux-64", MLOPS_CONDA_CACHE=cache)
    actions = json.loads(text)["actions"]
    assert code == 0
    assert sorted(a["name"] for a in actions["FETCH"]) == ["numpy", "python"]
    assert {a["name"] for a in actions["LINK"]} == {a["name"] for a in actions["FETCH"]}


def test_the_solver_ends_well_every_time(tmp_path, mirror):
    """rattler's threads crash some processes that end in the usual way."""
    for _ in range(5):
        code, text = solver(
            "create", "-c", mirror, "scikit-lern", MLOPS_CONDA_CACHE=str(tmp_path / "cache")
        )
        assert code == 1
        assert json.loads(text)["near"] == {"scikit-lern": ["scikit-learn"]}
