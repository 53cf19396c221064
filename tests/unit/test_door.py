"""The door: what it serves, and what it does when a client goes away."""

import json
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from mlops_airflow import door as client
from mlops_server.layout import Layout
from mlops_server.workflows import door

SERVED = [
    "workflows fetch",
    "workflows fetch --json",
    "workflows models --json",
    "workflows check",
    "workflows activate",
    "workflows clean",
    "workflows status",
    "env build churn 0123456789abcdef0123456789abcdef",
]
DEPLOY = ["service", "deploy", "churn", "--model", "churn", "--folder", "/srv/mlops/data/m/1"]
NOT_SERVED = [
    "workflows rollback",
    "workflows check --json",
    "workflows fetch --json --again",
    "env build churn 0123456789abcdef0123456789abcdef extra",
    "env build ../x 0123456789abcdef0123456789abcdef",
    "env build churn 0123456789abcdef0123456789abcdeF",
    "env build churn 0123456789abcdef0123456789abcdef\n",
    "env run churn -- sh",
    "door",
    "",
]


def test_every_command_that_goes_on_to_its_end_is_one_that_is_served():
    served = [tuple(line.split()[:2]) for line in (*SERVED, " ".join(DEPLOY))]
    assert set(served) >= door.FINISHED


@pytest.mark.parametrize("line", [*SERVED, " ".join(DEPLOY)])
def test_what_is_served(line: str) -> None:
    words = line.split()
    assert door.parse(json.dumps({"words": words}).encode()) == words


@pytest.mark.parametrize("line", NOT_SERVED)
def test_what_is_not(line: str) -> None:
    with pytest.raises(door.RefusedError):
        door.parse(json.dumps({"words": line.split(" ")}).encode())


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"{}", b"[]", b'{"words": "workflows fetch"}', b'{"words": [1]}', b"\xff",
     b'{"words": ["workflows fetch"]}', b'{"words": ["workflows", "fetch"], "more": 1}',
     b"[" * 4000],
)  # fmt: skip
def test_what_is_no_request(data: bytes) -> None:
    with pytest.raises(door.RefusedError):
        door.parse(data)


class Server:
    """A door on a socket of its own; commands of `mlops` are replaced by a shell script."""

    def __init__(self, folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
        package = folder / "mlops_server"
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "__main__.py").write_text(
            f"import os, sys\nos.execv('/bin/sh', ['sh', '-c', {script!r}, *sys.argv])\n"
        )
        monkeypatch.setenv("PYTHONPATH", str(folder))
        self.path = folder / "door.sock"
        self.codes: list[int] = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen()
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        connection, _ = self.listener.accept()
        self.codes.append(door.serve(Layout(), connection))

    def ended(self) -> None:
        self.thread.join(20)
        assert not self.thread.is_alive()
        self.listener.close()


def test_lines_come_as_they_are_written(tmp_path, monkeypatch) -> None:
    server = Server(tmp_path, "echo one; sleep 0.5; echo two >&2; exit 3", monkeypatch)
    seen: list[tuple[str, float]] = []
    answer = client.ask(
        ["workflows", "check"], lambda line: seen.append((line, time.monotonic())), server.path
    )
    server.ended()
    assert answer == client.Answer(3, ["one", "two"])
    assert answer.last == "two"
    assert seen[1][1] - seen[0][1] > 0.3


def test_a_last_line_that_is_cut_and_one_that_looks_like_the_end(tmp_path, monkeypatch) -> None:
    server = Server(tmp_path, "echo exit 0; printf 'no newline'; exit 1", monkeypatch)
    answer = client.ask(["workflows", "clean"], print, server.path)
    server.ended()
    assert answer == client.Answer(1, ["exit 0", "no newline"])


def test_json_at_the_end(tmp_path, monkeypatch) -> None:
    script = "echo '[fetching'; echo '{'; echo ' \"new\": true'; echo '}'"
    server = Server(tmp_path, script, monkeypatch)
    assert client.ask(["workflows", "fetch"], print, server.path).data == {"new": True}
    server.ended()


def test_a_daemon_that_keeps_the_pipe_does_not_keep_us(tmp_path, monkeypatch) -> None:
    server = Server(tmp_path, "sleep 30 & echo $!", monkeypatch)
    begun = time.monotonic()
    answer = client.ask(["workflows", "fetch"], print, server.path)
    assert time.monotonic() - begun < 10
    os.kill(int(answer.lines[0]), signal.SIGKILL)
    server.ended()
    assert answer.code == 0


def test_a_signal_is_an_exit_code(tmp_path, monkeypatch) -> None:
    server = Server(tmp_path, "kill -9 $$", monkeypatch)
    assert client.ask(["workflows", "fetch"], print, server.path).code == 128 + 9
    server.ended()


def _leave(path: Path, words: list[str], until: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.connect(str(path))
        left.sendall(json.dumps({"words": words}).encode() + b"\n")
        begun = time.monotonic()
        while not until.exists():
            assert time.monotonic() - begun < 10
            time.sleep(0.02)


@pytest.mark.parametrize(
    ("words", "finishes"),
    [(["workflows", "fetch"], False), (["workflows", "check"], False),
     (["env", "build", "churn", "0123456789abcdef" * 2], False),
     (["workflows", "activate"], True), (["workflows", "clean"], True), (DEPLOY, True)],
)  # fmt: skip
def test_when_the_client_goes_away(tmp_path, monkeypatch, words, finishes) -> None:
    script = (
        f"echo $$ > {tmp_path}/begun; sleep 1;"
        f" i=0; while [ $i -lt 20000 ]; do echo line; i=$((i+1)); done; touch {tmp_path}/done"
    )
    server = Server(tmp_path, script, monkeypatch)
    _leave(server.path, words, tmp_path / "begun")
    server.ended()
    assert (tmp_path / "done").exists() is finishes
    pid = (tmp_path / "begun").read_text().strip()
    assert subprocess.run(["kill", "-0", pid], capture_output=True, check=False).returncode


def test_a_request_that_does_not_come(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(door, "PATIENCE", 0.2)
    server = Server(tmp_path, "true", monkeypatch)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(server.path))
        server.ended()
        assert b"exit 1\n" in silent.recv(1000)


@pytest.mark.parametrize("data", [b"x" * 5000, b'{"words":', b""])
def test_a_request_that_is_none(tmp_path, monkeypatch, data) -> None:
    server = Server(tmp_path, "echo never", monkeypatch)
    with socket.socket(socket.AF_UNIX) as odd:
        odd.connect(str(server.path))
        odd.sendall(data)
        odd.shutdown(socket.SHUT_WR)
        server.ended()
    assert server.codes == [door.BAD_REQUEST]


def test_a_shut_door(tmp_path: Path) -> None:
    with pytest.raises(client.DoorError):
        client.ask(["workflows", "fetch"], print, tmp_path / "none")


def test_an_answer_that_ends_early(tmp_path: Path) -> None:
    path = tmp_path / "door.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def half() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"half an ans")

        thread = threading.Thread(target=half)
        thread.start()
        with pytest.raises(client.DoorError, match="ends before"):
            client.ask(["workflows", "fetch"], print, path)
        thread.join()
