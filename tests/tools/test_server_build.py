"""Real builds from a real channel with the real rattler and uv: killed, poisoned, two at once."""

import base64
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import channel
import pytest
from mlops_server import archives
from mlops_server.layout import Layout, lock_hash
from mlops_server.listing import COMMAND
from mlops_server.store import Model
from speed import took

NAMES = ("python", "python_abi", "tabulate", "actenv")
ASKED = "dependencies: [python 3.11.*, tabulate, actenv, pip: [tiny]]\n"
USER = "nobody" if os.geteuid() == 0 else None
MLOPS = """\
import sys
from pathlib import Path
from mlops_server.__main__ import run
from mlops_server.layout import Layout
run(sys.argv[3:], Layout(Path(sys.argv[1])), sys.argv[2] or None)
"""


@pytest.fixture(scope="session")
def wheels(tmp_path_factory):
    """Two wheels, one of which does not import, served like the channel."""
    folder = tmp_path_factory.mktemp("wheels")
    wheel(folder, "tiny", "VALUE = 1\n")
    wheel(folder, "broken", "import nothing_of_this_name\n")
    for file in folder.glob("conda-forge/*.whl"):
        page = folder / "simple" / file.name.partition("-")[0]
        page.mkdir(parents=True)
        (page / file.name).symlink_to(file)  # the server's page about a folder is a simple index
    with channel.serve(channel.Channel(folder)) as server:
        server.folder = folder
        yield server


@pytest.fixture(scope="session")
def server(conda_forge, wheels):
    """A server with an environment of model churn; a short path that others may enter."""
    root = Path(tempfile.mkdtemp(prefix="mlops-"))
    root.chmod(0o755)
    made = Server(root, conda_forge, wheels)
    made.lock = made.offer("churn", made.entries())
    made.output = made.mlops("env", "build", "churn", made.lock).stdout
    made.mlops("env", "activate", "churn", made.lock)
    yield made
    shutil.rmtree(root)


@pytest.fixture
def empty(conda_forge, wheels):
    """A server with nothing on it."""
    root = Path(tempfile.mkdtemp(prefix="mlops-"))
    root.chmod(0o755)
    yield Server(root, conda_forge, wheels)
    shutil.rmtree(root)


def wheel(folder: Path, name: str, text: str) -> None:
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": text,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [f"{path},sha256={digest(text)},{len(text)}" for path, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""])
    (folder / "conda-forge").mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"conda-forge/{name}-1.0-py3-none-any.whl", "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)


def digest(text: str) -> str:
    raw = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Server:
    """A folder that stands for a server's root."""

    def __init__(self, root, conda_forge, wheels):
        self.root, self.channel, self.wheels = root, conda_forge, wheels
        self.layout = Layout(root)
        self.layout.uv.parent.mkdir(parents=True)
        self.layout.uv.symlink_to(shutil.which("uv", path=Path(sys.executable).parent))
        self.layout.conda_config.parent.mkdir(parents=True)
        self.layout.conda_config.write_text(channel.rattler_config(conda_forge.at("127.0.0.1")))
        self.layout.workflows_config.write_text(f'channels = ["{channel.CONDA_FORGE}/"]\n')

    def words(self, *words):
        index = f"UV_DEFAULT_INDEX={self.wheels.url.replace('conda-forge', 'simple')}"
        python = ("env", index, sys.executable, "-P", "-B", "-c")
        return [*python, MLOPS, self.root, USER or "", *words]

    def mlops(self, *words, code=0):
        done = subprocess.run(self.words(*words), capture_output=True, text=True)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def entries(self, names=NAMES, wheel="tiny"):
        found = [self.entry(name) for name in names]
        return [*found, self.wheel(wheel)] if wheel else found

    def entry(self, name):
        """A lock's entry of a conda package, from the index."""
        for subdir in ("linux-64", "noarch"):
            index = channel.build().folder / f"conda-forge/{subdir}/repodata.json"
            for file, record in json.loads(index.read_text())["packages.conda"].items():
                if record["name"] == name:
                    hashes = {"md5": record["md5"], "sha256": record["sha256"]}
                    return entry("conda", name, record["version"],
                                 f"{channel.CONDA_FORGE}/{subdir}/{file}", hashes)  # fmt: skip
        raise LookupError(name)

    def wheel(self, name):
        file = f"{name}-1.0-py3-none-any.whl"
        data = (self.wheels.folder / "conda-forge" / file).read_bytes()
        hashes = {"sha256": hashlib.sha256(data).hexdigest()}
        return entry("pip", name, "1.0", f"{self.wheels.url}/{file}", hashes)

    def offer(self, model, entries, asked=ASKED):
        """Put a lock where the installer does; its hash."""
        metadata = {"content_hash": {"linux-64": "0" * 64}, "platforms": ["linux-64"],
                    "channels": [{"url": "conda-forge", "used_env_vars": []}],
                    "sources": ["environment.yml"]}  # fmt: skip
        text = json.dumps({"version": 1, "metadata": metadata, "package": entries})
        folder = self.layout.locks / model / lock_hash(text.encode())
        folder.mkdir(parents=True)
        (folder / "conda-lock.yml").write_text(text)
        (folder / "environment.yml").write_text(asked)
        return folder.name

    def prefix(self, model, lock):
        return Model(self.layout, model).prefix(lock)


def entry(manager, name, version, url, hashes):
    return {"manager": manager, "name": name, "version": version, "url": url, "hash": hashes,
            "platform": "linux-64", "category": "main", "optional": False,
            "dependencies": {}}  # fmt: skip


def assert_whole(prefix, entries):
    """Every package of the lock, every file of every package, without our own code."""
    records = [json.loads(path.read_bytes()) for path in (prefix / "conda-meta").glob("*.json")]
    conda = {(e["name"], e["hash"]["sha256"]) for e in entries if e["manager"] == "conda"}
    assert {(r["name"], r["sha256"]) for r in records} == conda
    for path in [path for record in records for path in record["paths_data"]["paths"]]:
        file = prefix / path["_path"]
        assert os.path.lexists(file)
        if not file.is_symlink():
            expected = path.get("sha256_in_prefix") or path["sha256"]
            assert hashlib.sha256(file.read_bytes()).hexdigest() == expected
    assert (prefix / "lib/python3.11/site-packages/tiny.py").read_text() == "VALUE = 1\n"


def test_progress_is_a_line_per_step(server):
    lines = server.output.splitlines()
    assert lines[0] == f"churn: {len(NAMES)} packages, {len(NAMES)} to download"
    assert any(line.startswith("churn: python 3.11.7 (") for line in lines)
    assert lines[-4:-1] == ["churn: pip: tiny 1.0", "churn: compiling", "churn: smoke test"]
    assert lines[-1].startswith("churn: ready in ")


def test_the_build_is_whole_and_nothing_in_it_is_shared_or_writable(server):
    prefix = server.prefix("churn", server.lock)
    assert_whole(prefix, server.entries())
    for path in prefix.rglob("*"):
        found = path.lstat()
        assert path.is_symlink() or not found.st_mode & 0o7022
        assert path.is_symlink() or found.st_mode & 0o444 == 0o444
        assert path.is_dir() or found.st_nlink == 1


def test_packages_for_any_platform_are_compiled(server):
    site = server.prefix("churn", server.lock) / "lib/python3.11/site-packages"
    for name in ("actenv", "tiny", "tabulate/__init__"):
        folder, _, stem = name.rpartition("/")
        assert (site / folder / f"__pycache__/{stem}.cpython-311.pyc").exists()


def test_a_second_build_does_nothing_and_is_quick(server):
    prefix = server.prefix("churn", server.lock)
    said = []
    build = took(lambda: said.append(server.mlops("env", "build", "churn", server.lock).stdout))
    assert said == ["churn: is ready\n"]
    assert build.cpu < 2
    assert server.prefix("churn", server.lock) == prefix


def test_the_listing_is_the_command_s_output(server):
    prefix = server.prefix("churn", server.lock)
    out = subprocess.run(["sh", "-c", COMMAND], cwd=prefix, capture_output=True, check=True)
    assert out.stdout == (prefix / ".mlops/files").read_bytes()


def test_list_and_show_say_what_is_there(server):
    (found,) = json.loads(server.mlops("env", "list", "--json").stdout)
    assert found["lock_hash"] == server.lock
    assert found["current"]
    assert (found["python"], found["packages"], found["state"]) == ("3.11.7", 5, "ready")
    shown = json.loads(server.mlops("env", "show", "churn", "--json").stdout)
    assert shown["asked"] == ["python 3.11.*", "tabulate", "actenv", "pip: tiny"]
    names = [(package["name"], package["from"]) for package in shown["installed"]]
    assert names == sorted([(name, "conda") for name in NAMES] + [("tiny", "pip")])
    assert server.lock in server.mlops("env", "list").stdout
    assert "tabulate" in server.mlops("env", "show", "churn").stdout


def test_a_command_runs_activated_as_the_user_with_a_clean_environment(server, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "secret")
    code = "import actenv, os; print(actenv.answer(), os.getuid(), 'AIRFLOW' in str(os.environ))"
    out = server.mlops("env", "run", "churn", "--", "python", "-c", code).stdout.split()
    assert out == ["42", "65534" if USER else str(os.getuid()), "False"]
    server.mlops("env", "run", "churn", "--", "python", "-c", "raise SystemExit(7)", code=7)
    kill = server.words("env", "run", "churn", "--", "sh", "-c", "kill -TERM $$")
    assert subprocess.run(kill).returncode == -signal.SIGTERM


def test_check_names_what_differs_and_build_repairs_it_beside(server):
    lock = server.offer("drift", server.entries(), ASKED + "# drift\n")
    server.mlops("env", "build", "drift", lock)
    old = server.prefix("drift", lock)
    target = old / "lib/python3.11/site-packages/actenv.py"
    before = target.stat()
    target.write_bytes(target.read_bytes().replace(b"42", b"43"))
    target.write_bytes(target.read_bytes().replace(b"activated", b"aktivated"))
    os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))
    said = f"drift {lock}: changed lib/python3.11/site-packages/actenv.py\n"
    assert server.mlops("env", "check", "drift", code=2).stdout == said
    assert server.mlops("env", "check", "drift", "--full", code=2).stdout == said
    # Somebody who also forges the listing is found by reading every file.
    listing = subprocess.run(["sh", "-c", COMMAND], cwd=old, capture_output=True).stdout
    (old / ".mlops/files").write_bytes(listing)
    assert server.mlops("env", "check", "drift").stdout == ""
    assert server.mlops("env", "check", "drift", "--full", code=2).stdout == said
    (old / "bin/more").touch()
    server.mlops("env", "build", "drift", lock)
    new = server.prefix("drift", lock)
    assert new.name == f"{lock}.2"
    assert old.exists(), "tasks may still run from it"
    assert_whole(new, server.entries())
    assert server.mlops("env", "check", "--full").stdout == ""


def test_a_poisoned_cache_does_not_spread(empty):
    first = empty.offer("one", empty.entries())
    empty.mlops("env", "build", "one", first)
    (bad,) = empty.layout.package_cache.glob("*/site-packages/tabulate/__init__.py")
    bad.write_bytes(bad.read_bytes().replace(b"import", b"impart", 1))
    second = empty.offer("two", empty.entries(), ASKED + "# two\n")
    before = len(empty.channel.fetched())
    empty.mlops("env", "build", "two", second)
    assert [name.split("-")[0] for name in empty.channel.fetched()[before:]] == ["tabulate"]
    assert_whole(empty.prefix("two", second), empty.entries())


def test_wheels_come_from_the_index_whatever_the_lock_says(server, monkeypatch):
    monkeypatch.setenv("UV_CACHE_DIR", "ours is another")
    entries = server.entries()
    entries[-1]["url"] = "http://127.0.0.1:9/tiny-1.0-py3-none-any.whl"
    (server.layout.wheel_cache / entries[-1]["hash"]["sha256"]).unlink()
    lock = server.offer("mirror", entries)
    server.mlops("env", "build", "mirror", lock)
    assert_whole(server.prefix("mirror", lock), entries)
    assert "/simple/tiny/" in [request.path for request in server.wheels.seen]


def test_what_was_not_locked_is_not_installed(server):
    for number, name in ((2, "tabulate"), (4, "tiny")):
        entries = server.entries()
        entries[number]["hash"]["sha256"] = "0" * 64
        model = f"wrong-{name}"
        lock = server.offer(model, entries)
        error = server.mlops("env", "build", model, lock, code=1).stderr
        assert "hash mismatch" in error.lower()
        assert error.splitlines()[-1].endswith("do not trust it")
        assert len(error.splitlines()) == 2
        assert list((server.layout.envs / model / "builds").iterdir()) == []


def test_a_package_that_does_not_import_is_not_let_in(server):
    entries = server.entries(wheel="broken")
    lock = server.offer("bad", entries, "dependencies: [python, tabulate, pip: [broken]]\n")
    error = server.mlops("env", "build", "bad", lock, code=1).stderr.splitlines()
    assert error[0] == "mlops: the smoke test failed: import broken fails"
    assert error[-2] == "ModuleNotFoundError: No module named 'nothing_of_this_name'"
    assert list((server.layout.envs / "bad/builds").iterdir()) == []
    assert not Model(server.layout, "bad").links()


def test_a_dead_channel_is_an_error_of_two_lines(empty):
    empty.layout.conda_config.write_text(channel.rattler_config("http://127.0.0.1:9/conda-forge"))
    lock = empty.offer("churn", empty.entries())
    error = empty.mlops("env", "build", "churn", lock, code=1).stderr.splitlines()
    assert error[0].startswith("mlops: ")
    assert "check network" in error[1]
    assert len(error) == 2


def test_two_models_build_at_once_and_the_same_one_waits(empty):
    locks = {name: empty.offer(name, empty.entries()) for name in ("one", "two")}
    words = [empty.words("env", "build", *pair) for pair in (*locks.items(), *locks.items())]
    runs = [subprocess.Popen(w, stdout=subprocess.PIPE, text=True) for w in words]
    out = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0] * 4
    for name, lock in locks.items():
        assert_whole(empty.prefix(name, lock), empty.entries())
        assert len(Model(empty.layout, name).folders()) == 1
        assert sum(f"{name}: waiting for another build" in text for text in out) == 1


def test_killed_at_any_moment_the_next_build_is_right(empty):
    seed = random.SystemRandom().randrange(10**6)
    print("seed", seed)
    moments = random.Random(seed)
    lock = empty.offer("churn", empty.entries())
    words = empty.words("env", "build", "churn", lock)
    for number in range(6):
        if number > 2:  # until then with an empty cache
            empty.mlops("env", "build", "churn", lock)
            (empty.prefix("churn", lock) / "extra").touch()
        run = subprocess.Popen(words, stdout=subprocess.PIPE)
        time.sleep(moments.uniform(0.1, 1.2))
        run.kill()
        run.communicate()
    empty.mlops("env", "build", "churn", lock)
    empty.mlops("env", "activate", "churn", lock)
    empty.mlops("env", "clean")
    prefix = empty.prefix("churn", lock)
    assert_whole(prefix, empty.entries())
    assert Model(empty.layout, "churn").folders() == [prefix]
    cached = {path.name for path in empty.layout.package_cache.iterdir() if path.is_dir()}
    assert cached == {e["hash"]["sha256"] for e in empty.entries(wheel="")}


CONDA_LIST = """\
import sys
from conda_lock._vendor.conda.cli.main_list import list_packages
print("\\n".join(list_packages(sys.argv[1], format="canonical", show_channel_urls=False)[1]))
"""


def test_conda_lists_what_is_in_it(server):
    """By the code of conda that conda-lock carries, through the link that people use."""
    words = [sys.executable, "-c", CONDA_LIST, server.layout.envs / "churn/current"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found = {line.split("::")[1].rsplit("-", 2)[0] for line in done.stdout.split()}
    assert found == {*NAMES, "tiny"}


def test_without_an_index_of_ours_it_is_the_one_that_uv_asks(server, monkeypatch):
    monkeypatch.delenv("UV_DEFAULT_INDEX", raising=False)
    asked = archives._index(server.layout)
    assert asked.startswith("https://")
    assert asked.endswith("/simple")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://pypi.example.org/simple")
    assert archives._index(server.layout) == "https://pypi.example.org/simple"
