"""Services with real processes: a small supervisor stands for systemd, the rest is as shipped."""

import http.client
import json
import os
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from mlops_server import disk, inuse
from mlops_server.errors import EnvError
from mlops_server.layout import Layout, lock_hash
from mlops_server.services import cli, manage
from mlops_server.services import folder as folders
from mlops_server.services import records as records_module
from mlops_server.services.records import Records, releases
from mlops_server.store import Model

INSTALLER = Path(manage.__file__).parents[2]
START = """
import os, sys
from pathlib import Path
from mlops_server.errors import EnvError
from mlops_server.layout import Layout
from mlops_server.services.start import start
os.environ["LISTEN_PID"] = str(os.getpid())
try:
    start(Layout(Path(sys.argv[1])), sys.argv[2])
except EnvError as error:
    sys.exit(str(error))
"""
SERVICE = """
import os, time
EXAMPLE = {"x": 1}

def load(folder):
    with open(os.path.join(folder, "factor")) as file:
        return float(file.read())

def check(request):
    if "x" not in request:
        raise ValueError("x is missing")

def predict(model, request):
    time.sleep(request.get("sleep", 0))
    if request["x"] == "leave":
        raise SystemExit(3)
    return {"y": model * request["x"], "prefix": os.environ["CONDA_PREFIX"]}
"""


class Processes:
    """What systemd does for an instance: a socket, a process, READY=1, and their end."""

    def __init__(self, layout: Layout, command=None) -> None:
        self.layout = layout
        self.command = command or [sys.executable, "-c", START]
        self.sockets: dict[str, socket.socket] = {}
        self.processes: dict[str, subprocess.Popen] = {}
        self.codes: list[int] = []
        self.kept: set[str] = set()
        self.told: list[str] = []

    def start(self, instance: str) -> None:
        path = Records(self.layout).socket(instance)
        path.parent.mkdir(parents=True, exist_ok=True)
        listener = self.sockets[instance] = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(4096)
        self.run(instance)

    def run(self, instance: str) -> None:
        with tempfile.TemporaryDirectory() as name, socket.socket(socket.AF_UNIX, 2) as notify:
            notify.bind(f"{name}/notify")
            notify.settimeout(0.1)
            child = self.processes[instance] = self.spawn(instance, f"{name}/notify")
            while child.poll() is None:
                with suppress(TimeoutError):
                    self.told.append(notify.recv(100).decode())
                    if self.told[-1] == "READY=1":
                        return
        raise EnvError(f"{instance} does not start", detail=f"exit code {child.returncode}")

    def spawn(self, instance: str, notify: str) -> subprocess.Popen:
        listener = self.sockets[instance].fileno()
        variables = {"LISTEN_FDS": "1", "NOTIFY_SOCKET": notify, "PYTHONPATH": str(INSTALLER)}
        # 3 is where systemd puts it; the shell moves it there.
        shell = ["/bin/bash", "-c", f'exec 3<&{listener} {listener}<&-; exec "$@"', "bash"]
        words = [*shell, *self.command, str(self.layout.root), instance]
        return subprocess.Popen(words, env=variables, pass_fds=[listener])

    def keep(self, instance: str) -> None:
        self.kept.add(instance)

    def retire(self, instance: str) -> None:
        self.kept.discard(instance)
        if instance in self.sockets:
            Records(self.layout).socket(instance).unlink()
            self.sockets.pop(instance).close()
        if instance in self.processes:
            child = self.processes.pop(instance)
            child.terminate()
            self.codes.append(child.wait(60))

    def instances(self) -> list[str]:
        return list(self.sockets)

    def active(self, instance: str) -> bool:
        return instance in self.processes and self.processes[instance].poll() is None


@pytest.fixture
def layout():
    """A server in a folder with a short name: an address of a socket has 107 bytes at most."""
    root = Path(tempfile.mkdtemp(prefix="mlops-"))
    made = Layout(root)
    add_release(made, "aaaaaaaaaaaa", "lock: 1\n")
    yield made
    shutil.rmtree(root)


def add_release(layout: Layout, name: str, lock: str, service: str = SERVICE) -> Path:
    """A release with the model churn, and a prefix with this interpreter for it."""
    model = layout.releases / name / "models/churn"
    model.mkdir(parents=True)
    (model / "service.py").write_text(service)
    (model / "conda-lock.yml").write_text(lock)
    churn, digest = Model(layout, "churn"), lock_hash(lock.encode())
    if not churn.link(digest).exists():
        prefix = churn.new_build(digest)
        (prefix / "bin").mkdir()
        python = prefix / "bin/python"
        python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        python.chmod(0o755)
        (prefix / ".mlops").mkdir()
        (prefix / inuse.READY).write_text("{}\n")
        churn.finish(prefix, digest)
    layout.current_release.unlink(missing_ok=True)
    layout.current_release.symlink_to(f"releases/{name}")
    return layout.releases / name


@pytest.fixture
def supervisor(layout):
    made = Processes(layout)
    yield made
    for instance in list(made.sockets):
        made.retire(instance)


def trained(layout: Layout, version: str, factor: object) -> Path:
    folder = layout.data / "models/churn" / version
    folder.mkdir(parents=True)
    (folder / "factor").write_text(str(factor))
    return folder


def deploy(layout, supervisor, folder, *, name="churn", release="", threads=4) -> list[str]:
    said: list[str] = []
    manage.deploy(layout, supervisor, name, ("churn", release, folder, threads), said.append)
    return said


def request(
    layout, body, *, path="/predict", method="POST", token=None, name="churn", headers=None
):
    """One request as nginx makes it: through the link. Gives the status and the answer."""
    records = Records(layout)
    token = records.token(name) if token is None else token
    connection = http.client.HTTPConnection("localhost", timeout=20)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(20)
    connection.sock.connect(str(records.link(name)))
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"Authorization": f"Bearer {token}", **(headers or {})}
    connection.request(method, path, data, given)
    reply = connection.getresponse()
    found = reply.status, json.loads(reply.read())
    connection.close()
    return found


def test_a_deployed_model_answers_and_says_what_it_is(layout, supervisor):
    folder = trained(layout, "1", 3)
    deploy(layout, supervisor, folder)
    code, answer = request(layout, {"x": 2})
    assert (code, answer["y"]) == (200, 6.0)
    code, health = request(layout, b"", path="/health", method="GET")
    assert code == 200
    assert health["environment"] == answer["prefix"]
    assert health["folder"] == str(folder)
    assert health["release"] == str(layout.releases / "aaaaaaaaaaaa")
    assert health["digest"] == folders.digest(folder)
    assert health["requests"] == 2  # the question of the deployment, and ours
    assert supervisor.kept == {"churn.1"}


@pytest.mark.parametrize(
    ("body", "more", "code", "text"),
    [
        ({"x": 1}, {"token": "wrong"}, 401, "token"),
        ({"x": 1}, {"token": ""}, 401, "token"),
        ({"x": 1}, {"path": "/"}, 404, "/predict"),
        ({"x": 1}, {"path": "/health"}, 405, "GET"),
        ({"x": 1}, {"method": "OPTIONS"}, 405, "POST"),
        ({"x": 1}, {"method": "PUT"}, 405, "POST"),
        ({"x": 1}, {"method": "BREW"}, 405, "POST"),
        (b"", {"method": "GET"}, 405, "POST"),
        (b'{"x":' + b"[" * 20000 + b"]" * 20000 + b"}", {}, 400, "JSON: it is nested too deeply"),
        (b'{"x": NaN}', {}, 400, "NaN is not a number"),
        (b'{"x": -Infinity}', {}, 400, "-Infinity is not a number"),
        (b'{"x": 1e999}', {}, 400, "1e999 is not a number"),
        (b'{"x": 1' + b"0" * 400 + b".0}", {}, 400, "is not a number"),
        ({"x": 1}, {"headers": {"Content-Length": "\xb2"}}, 400, "Content-Length"),
        ({"x": 1}, {"headers": {"Content-Length": "-5"}}, 400, "Content-Length"),
        ({"x": 1}, {"headers": {"Content-Length": "9" * 5000}}, 413, "bytes"),
        ({"x": 1}, {"headers": {"Authorization": "Basic eDp5"}}, 401, "token"),
        (b"{", {}, 400, "JSON"),
        (b"\xff", {}, 400, "JSON"),
        ([1], {}, 400, "object"),
        ({}, {}, 400, "x is missing"),
        ({"x": "leave"}, {}, 500, "SystemExit"),
        ({"x": None}, {}, 500, "TypeError"),
        ({"x": 1e308}, {}, 500, "ValueError"),
    ],
)
def test_what_is_wrong_is_said_and_the_service_goes_on(layout, supervisor, body, more, code, text):
    deploy(layout, supervisor, trained(layout, "1", 3), threads=1)
    found, answer = request(layout, body, **more)
    assert found == code
    assert text in answer["error"]
    assert request(layout, {"x": 2})[0] == 200


def ask(layout, text: str) -> tuple[str, bytes]:
    """Send bytes as they are; the status line's code, and all that follows the head."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(Records(layout).link("churn")))
        client.sendall(text.replace("\n", "\r\n").encode("latin-1"))
        client.shutdown(socket.SHUT_WR)
        said = b""
        while piece := client.recv(1 << 16):
            said += piece
    head, _, body = said.partition(b"\r\n\r\n")
    assert b"text/html" not in head
    return head.split()[1].decode(), body


def test_who_sends_on_after_a_refusal_can_still_read_it(layout, supervisor):
    deploy(layout, supervisor, trained(layout, "1", 3), threads=1)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(Records(layout).link("churn")))
        client.sendall(b"POST /predict HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n")
        assert select.select([client], [], [], 20)[0]  # the answer has been sent
        client.sendall(b"x" * (1 << 20))
        said = b""
        client.shutdown(socket.SHUT_WR)
        while piece := client.recv(1 << 16):
            said += piece
    assert b" 413 " in said


def test_requests_as_other_clients_write_them(layout, supervisor):
    deploy(layout, supervisor, trained(layout, "1", 3), threads=1)
    token = Records(layout).token("churn")
    for scheme in ("bearer", "BEARER", "Bearer "):
        login = f"Authorization: {scheme} {token}\n"
        assert ask(layout, f"GET /health HTTP/1.1\n{login}\n")[0] == "200"
    assert ask(layout, f"GET /health?a=1 HTTP/1.1\n{login}\n")[0] == "200"
    code, body = ask(layout, f"HEAD /health HTTP/1.1\n{login}\n")
    assert (code, body) == ("405", b"")
    cut = f"POST /predict HTTP/1.1\n{login}Content-Length: 100\n\n{{}}"
    assert ask(layout, cut)[0] == "400"
    for odd in ("nonsense\n\n", "GET\n\n", f"GET /{'x' * 70000} HTTP/1.1\n\n"):
        code, body = ask(layout, odd)
        assert code in ("400", "414")
        assert json.loads(body)["error"]
    assert request(layout, {"x": 2})[0] == 200


RETURNED = """
import datetime, decimal

class Number:  # as numpy's: no int, and JSON does not take it as a key
    def __init__(self, value): self.value = value
    def __hash__(self): return hash(self.value)
    def item(self): return self.value
    def tolist(self): return self.value

class Frame:
    columns = ["a"]
    def to_dict(self, orient): return [{Number(1): Number(2)}]

def load(folder): return 1

def predict(model, request):
    return {"a": {Number(3): [Number(4)]}, "b": datetime.date(2026, 1, 2), "c": Frame(),
            datetime.date(2026, 1, 3): None, "d": {1: 2, None: 3}}
"""


def test_what_numpy_and_pandas_return_is_json_keys_included(layout, supervisor):
    add_release(layout, "bbbbbbbbbbbb", "lock: 1\n", RETURNED)
    deploy(layout, supervisor, trained(layout, "1", 3), release="bbbbbbbbbbbb")
    assert request(layout, {}) == (200, {
        "a": {"3": [4]}, "b": "2026-01-02", "c": [{"1": 2}], "2026-01-03": None,
        "d": {"1": 2, "null": 3},
    })  # fmt: skip


WHO = """
import getpass, os, tempfile
NAME = getpass.getuser()

def load(folder):
    return tempfile.mkstemp(dir=os.path.expanduser("~"))[1]

def predict(model, request):
    return {"user": NAME, "home": os.path.expanduser("~")}
"""


def test_a_service_has_a_user_name_and_a_writable_home(layout, supervisor):
    add_release(layout, "bbbbbbbbbbbb", "lock: 1\n", WHO)
    deploy(layout, supervisor, trained(layout, "1", 3), release="bbbbbbbbbbbb")
    assert request(layout, {}) == (200, {"user": "churn", "home": "/tmp"})


def test_a_model_that_loads_for_long_says_so(layout, supervisor):
    release = add_release(layout, "bbbbbbbbbbbb", "lock: 1\n")
    (release / "models/churn/model.toml").write_text("start_timeout = 900\n")
    folder = trained(layout, "1", 3)
    deploy(layout, supervisor, folder, release="bbbbbbbbbbbb")
    assert Records(layout).read("churn.1").start_timeout == 900
    assert "EXTEND_TIMEOUT_USEC=900000000" in supervisor.told
    manage.restart(layout, supervisor, "churn", print)
    assert Records(layout).read("churn.2").start_timeout == 900
    for wrong in ("1", "'long'", "true", "1e9"):
        (release / "models/churn/model.toml").write_text(f"start_timeout = {wrong}\n")
        with pytest.raises(EnvError, match="start_timeout: 300 to 86400 seconds"):
            deploy(layout, supervisor, folder, release="bbbbbbbbbbbb")


def test_a_record_of_an_earlier_version_is_read(layout, supervisor):
    deploy(layout, supervisor, trained(layout, "1", 3))
    path = Records(layout).path("churn.1")
    found = json.loads(path.read_bytes())
    del found["start_timeout"]
    path.write_text(json.dumps(found))
    assert Records(layout).read("churn.1").start_timeout == 300


def test_a_request_that_is_too_long_is_refused_before_it_is_read(layout, supervisor):
    deploy(layout, supervisor, trained(layout, "1", 3))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(Records(layout).link("churn")))
        token = Records(layout).token("churn")
        head = f"POST /predict HTTP/1.0\r\nAuthorization: Bearer {token}\r\n"
        client.sendall(f"{head}Content-Length: {1 << 30}\r\n\r\n".encode())
        assert b" 413 " in client.recv(100)


class Hammer:
    """Threads that ask without a pause; what went wrong, and the versions that answered."""

    def __init__(self, layout, number=4) -> None:
        self.layout = layout
        self.token = Records(layout).token("churn")
        self.wrong: list[object] = []
        self.answers: list[float] = []
        self.over = False
        self.threads = [threading.Thread(target=self.ask) for _ in range(number)]

    def ask(self) -> None:
        while not self.over:
            try:
                code, answer = request(self.layout, {"x": 1, "sleep": 0.005}, token=self.token)
            except (OSError, http.client.HTTPException) as error:
                self.wrong.append(error)
                continue
            if code != 200:
                self.wrong.append((code, answer))
            else:
                self.answers.append(answer["y"])

    def __enter__(self) -> "Hammer":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.over = True
        for thread in self.threads:
            thread.join()


def test_no_request_is_dropped_by_switches_good_and_bad(layout, supervisor):
    deploy(layout, supervisor, trained(layout, "1", 1))
    broken = trained(layout, "broken", "no number")
    with Hammer(layout) as hammer:
        for version in (2, 3, 4):
            time.sleep(0.3)
            deploy(layout, supervisor, trained(layout, str(version), version))
            with pytest.raises(EnvError, match="goes on serving"):
                deploy(layout, supervisor, broken)
        manage.restart(layout, supervisor, "churn", lambda line: None)
        time.sleep(0.3)
    assert hammer.wrong == []
    assert set(hammer.answers) == {1.0, 2.0, 3.0, 4.0}
    assert hammer.answers[-1] == 4.0
    assert len(hammer.answers) > 100
    assert list(supervisor.processes) == [Records(layout).current("churn")]
    assert [code for code in supervisor.codes if code not in (0, 1)] == []


def test_a_stop_answers_who_is_in_and_who_is_queued(layout, supervisor):
    deploy(layout, supervisor, trained(layout, "1", 5), threads=1)
    found: list[object] = []
    clients = [
        threading.Thread(target=lambda: found.append(request(layout, {"x": 1, "sleep": 0.3})[0]))
        for _ in range(5)
    ]
    for client in clients:
        client.start()
    time.sleep(0.4)
    supervisor.retire("churn.1")
    for client in clients:
        client.join()
    assert found == [200] * 5
    assert supervisor.codes == [0]


def test_requests_wait_while_a_killed_service_starts_again(layout, supervisor):
    deploy(layout, supervisor, trained(layout, "1", 5))
    child = supervisor.processes["churn.1"]
    child.send_signal(signal.SIGKILL)
    child.wait()
    found: list[object] = []
    client = threading.Thread(target=lambda: found.append(request(layout, {"x": 1})[0]))
    client.start()
    time.sleep(0.2)
    supervisor.run("churn.1")
    client.join()
    assert found == [200]


@pytest.mark.parametrize(
    "source",
    [
        "def load(folder): return 1\n",
        "import nothing_like_this\n",
        "def load(folder): raise OSError('gone')\ndef predict(model, request): return {}\n",
        "EXAMPLE = {}\ndef load(folder): return 1\ndef predict(model, request): return 1 / 0\n",
        "EXAMPLE = {}\ndef load(folder): return 1\ndef predict(model, request): return [1]\n",
        "EXAMPLE = {}\ndef load(folder): return 1\n"
        "def predict(model, request): return {'y': float('nan')}\n",
        "import os\ndef load(folder): os._exit(0)\ndef predict(model, request): return {}\n",
    ],
)
def test_a_broken_model_never_gets_a_request(layout, supervisor, source):
    deploy(layout, supervisor, trained(layout, "1", 1))
    add_release(layout, "bbbbbbbbbbbb", "lock: 1\n", source)
    with pytest.raises(EnvError, match=r"churn\.2 does not start; churn\.1 goes on serving"):
        deploy(layout, supervisor, trained(layout, "2", 2))
    assert request(layout, {"x": 1})[1]["y"] == 1.0
    assert Records(layout).instances("churn") == ["churn.1"]
    assert supervisor.kept == {"churn.1"}


def test_a_service_keeps_its_release_and_its_environment(layout, supervisor):
    deploy(layout, supervisor, trained(layout, "1", 1))
    add_release(layout, "bbbbbbbbbbbb", "lock: 2\n", SERVICE.replace("model *", "-model *"))
    assert request(layout, {"x": 1})[1]["y"] == 1.0
    before = Model(layout, "churn").prefix(lock_hash(b"lock: 1\n"))
    with inuse.claimed(before, set()) as free:
        assert not free
    assert releases(layout) == {layout.releases / "aaaaaaaaaaaa"}
    deploy(layout, supervisor, trained(layout, "2", 1))
    assert request(layout, {"x": 1})[1]["y"] == -1.0
    with inuse.claimed(before, set()) as free:
        assert free
    deploy(layout, supervisor, trained(layout, "3", 2), release="aaaaaaaaaaaa")
    assert request(layout, {"x": 1})[1]["y"] == 2.0


def test_what_a_killed_deployment_left_is_swept_by_the_next(layout, supervisor):
    deploy(layout, supervisor, trained(layout, "1", 1))
    records = Records(layout)
    left = json.loads(records.path("churn.1").read_text()) | {"number": 2}
    records.path("churn.2").write_text(json.dumps(left))
    supervisor.start("churn.2")
    deploy(layout, supervisor, trained(layout, "3", 3))
    assert list(supervisor.processes) == ["churn.2"]
    assert request(layout, {"x": 1})[1]["y"] == 3.0


def test_a_new_token_replaces_the_old_one_only_with_the_new_instance(layout, supervisor):
    folder = trained(layout, "1", 1)
    deploy(layout, supervisor, folder)
    old = Records(layout).token("churn")
    (folder / "factor").write_text("broken")
    with pytest.raises(EnvError):
        manage.restart(layout, supervisor, "churn", print, fresh_token=True)
    assert request(layout, {"x": 1}, token=old)[0] == 200
    assert Records(layout).token("churn") == old
    (folder / "factor").write_text("1")
    manage.restart(layout, supervisor, "churn", print, fresh_token=True)
    assert request(layout, {"x": 1}, token=old)[0] == 401
    assert request(layout, {"x": 1})[0] == 200


class Stopped(BaseException):
    """Somebody pressed Ctrl-C, or the machine went down."""


def stops_at(monkeypatch, number: int) -> None:
    """The command dies at its n-th effect: a file, a link, or a call of systemd."""
    left = [number]

    def dying(really):
        def effect(*given, **named):
            left[0] -= 1
            if left[0] < 0:
                raise Stopped
            return really(*given, **named)

        return effect

    monkeypatch.setattr(records_module, "write", dying(disk.write))
    monkeypatch.setattr(records_module, "point", dying(disk.point))
    for name in ("start", "keep", "retire"):
        monkeypatch.setattr(Processes, name, dying(getattr(Processes, name)))


@pytest.mark.parametrize("at", range(9))
def test_a_restart_with_a_new_token_that_is_stopped_anywhere_is_whole(
    layout, supervisor, monkeypatch, at
):
    """The token that the file has is the one that the instance in force accepts."""
    deploy(layout, supervisor, trained(layout, "1", 1))
    old = Records(layout).token("churn")
    with monkeypatch.context() as patch:
        stops_at(patch, at)
        with suppress(Stopped):
            manage.restart(layout, supervisor, "churn", print, fresh_token=True)
    assert request(layout, {"x": 1})[0] == 200
    token = Records(layout).token("churn")
    assert request(layout, {"x": 1}, token=old)[0] == (200 if token == old else 401)
    manage.restart(layout, supervisor, "churn", print)
    assert request(layout, {"x": 1}, token=token)[0] == 200
    assert [one["in_force"] for one in cli.listed(layout, supervisor)] == [True]
    assert [p.name for p in Records(layout).token_path("x").parent.iterdir()] == ["churn"]


@pytest.mark.parametrize("at", range(3))
def test_a_removal_that_is_stopped_anywhere_can_be_seen_and_ended(
    layout, supervisor, monkeypatch, at
):
    deploy(layout, supervisor, trained(layout, "1", 1))
    records = Records(layout)
    left = json.loads(records.path("churn.1").read_text()) | {"number": 7}
    records.path("churn.7").write_text(json.dumps(left))
    supervisor.start("churn.7")
    records.path("churn.7").unlink()  # systemd alone knows of it
    with monkeypatch.context() as patch:
        stops_at(patch, at)
        with suppress(Stopped):
            manage.remove(layout, supervisor, "churn", print)
    there = {f"churn.{one['number']}" for one in cli.listed(layout, supervisor)}
    assert set(supervisor.processes) <= there
    if there:
        manage.remove(layout, supervisor, "churn", print)
    assert not supervisor.processes
    assert cli.listed(layout, supervisor) == []
    assert not Records(layout).token_path("churn").exists()


def test_a_removed_service_leaves_nothing_but_the_model(layout, supervisor):
    folder = trained(layout, "1", 1)
    deploy(layout, supervisor, folder)
    records = Records(layout)
    assert stat.S_IMODE(records.token_path("churn").stat().st_mode) == 0o600
    assert records.token("churn") not in records.path("churn.1").read_text()
    manage.remove(layout, supervisor, "churn", print)
    assert not supervisor.processes
    assert {p.name for p in records.folder.iterdir()} == {".churn.lock"}
    assert not records.token_path("churn").exists()
    assert (folder / "factor").exists()
    with pytest.raises(EnvError, match="no service churn"):
        manage.remove(layout, supervisor, "churn", print)


@pytest.mark.parametrize("name", ["", "Churn", "a.b", "../x", "a" * 41, "a/b", "a b", "1a", "a\n"])
def test_bad_names_are_refused(layout, supervisor, name):
    with pytest.raises(EnvError, match="not the name of a service"):
        deploy(layout, supervisor, trained(layout, "1", 1), name=name)


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (("churn", "", Path("/etc"), 1), "is not below"),
        (("churn", "", Path("models/../.."), 1), "is not below"),
        (("churn", "", Path("."), 1), "is not below"),
        (("churn", "", Path("models/nothing"), 1), "not a folder"),
        (("churn", "", Path("models/out"), 1), "is not below"),
        (("churn", "cccccccccccc", Path("models/churn/1"), 1), "no release cccccccccccc"),
        (("churn", "..", Path("models/churn/1"), 1), "no release"),
        (("churn", "unbuilt", Path("models/churn/1"), 1), "not built"),
        (("other", "", Path("models/churn/1"), 1), "no models/other/service.py"),
        (("../churn", "", Path("models/churn/1"), 1), "not the name of a model"),
    ],
)
def test_bad_requests_are_refused_before_anything_starts(layout, supervisor, wanted, text):
    trained(layout, "1", 1)
    (layout.data / "models/out").symlink_to("/etc")
    unbuilt = layout.releases / "unbuilt/models/churn"
    unbuilt.mkdir(parents=True)
    (unbuilt / "service.py").write_text(SERVICE)
    (unbuilt / "conda-lock.yml").write_text("lock: 9\n")
    with pytest.raises(EnvError, match=text):
        manage.deploy(layout, supervisor, "churn", wanted, print)
    assert not supervisor.sockets


def test_the_digest_sees_content_and_names_and_is_not_led_astray(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a").write_text("1")
    before = folders.digest(tmp_path)
    (tmp_path / "sub/a").write_text("2")
    changed = folders.digest(tmp_path)
    (tmp_path / "sub/a").rename(tmp_path / "sub/b")
    renamed = folders.digest(tmp_path)
    (tmp_path / "link").symlink_to("/")
    linked = folders.digest(tmp_path)
    assert len({before, changed, renamed, linked}) == 4
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(EnvError, match="not a file"):
        folders.digest(tmp_path)


@pytest.mark.parametrize("version", ["3.8", "3.13"])
def test_the_server_runs_with_old_and_new_pythons(layout, supervisor, version):
    pyenv = Path.home().glob(f".pyenv/versions/{version}.*/bin/python")  # its shims may refuse
    programs = [*map(str, pyenv), shutil.which(f"python{version}") or "false"]
    asked = [programs[0], "-c", "import sys; print(sys.executable)"]
    python = subprocess.run(asked, capture_output=True, text=True).stdout.strip()
    if not python:
        pytest.skip(f"there is no Python {version}")
    found = Model(layout, "churn").prefix(lock_hash(b"lock: 1\n")) / "bin/python"
    found.write_text(f'#!/bin/sh\nexec {python} "$@"\n')
    deploy(layout, supervisor, trained(layout, "1", 2))
    assert request(layout, {"x": 2})[1]["y"] == 4.0
