"""The files around a service: units as systemd reads them, nginx's part as nginx runs it."""

import http.client
import os
import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from machine import need
from mlops_install.render import render
from mlops_install.roles.models import CODE

SITE = """
user root; daemon off; master_process off; worker_processes 1;
error_log {folder}/error.log; pid {folder}/pid;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
{guards}
    server {{
        listen 127.0.0.1:{port};
        client_max_body_size 1m;
{models}
        location / {{ return 418; }}
    }}
}}
"""


def unit(name: str) -> str:
    return render(f"models/mlops-model@.{name}", code=CODE)


def test_systemd_reads_the_units_without_a_complaint(tmp_path):
    for name in ("socket", "service"):
        (tmp_path / f"mlops-model@.{name}").write_text(unit(name))
    paths = [str(tmp_path / f"mlops-model@churn.1.{name}") for name in ("socket", "service")]
    for path in paths:
        os.symlink(f"mlops-model@.{path.rpartition('.')[2]}", path)
    command = [need("systemd-analyze"), "verify", "--man=no", *paths]
    done = subprocess.run(command, capture_output=True, text=True)
    # The user and packages of the server are not here.
    wrong = [line for line in done.stderr.splitlines() if "mlops-model" in line]
    assert not wrong


def test_the_unit_is_hardened(tmp_path):
    path = tmp_path / "mlops-model@.service"
    path.write_text(unit("service"))
    command = [need("systemd-analyze"), "security", "--offline=yes", "--threshold=20", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


def test_the_service_cannot_stop_before_its_socket():
    assert "Requires=" not in [line.partition("=")[0] + "=" for line in unit("service").split("\n")]


class Answering(BaseHTTPRequestHandler):
    """Says which socket got the request, and what came."""

    name = ""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        said = f"{self.name} {self.path} {self.headers['Authorization']} {len(body)}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_) -> None:
        pass


def listen(path: Path) -> socket.socket:
    """A service on a socket: one request per connection."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(4096)
    handler = type("Handler", (Answering,), {"name": path.stem})

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    handler(connection, ("", 0), None)

    threading.Thread(target=serve, daemon=True).start()
    return listener


@pytest.fixture
def nginx(tmp_path):
    """nginx with our part, as its own user; the port."""
    program = need("nginx")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    models = render("proxy/models.conf", services=tmp_path)
    site = SITE.format(
        folder=tmp_path, port=port, models=models, guards=render("proxy/guards.conf", names=[])
    )
    (tmp_path / "nginx.conf").write_text(site)
    child = subprocess.Popen([program, "-p", tmp_path, "-c", "nginx.conf", "-e", "error.log"])
    for _ in range(100):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            break
        time.sleep(0.05)
    yield port
    child.terminate()
    child.wait()


def ask(port: int, path: str, body: bytes = b"{}") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", path, body, {"Authorization": "Bearer t"})
    reply = connection.getresponse()
    found = reply.status, reply.read().decode()
    connection.close()
    return found


def test_nginx_follows_the_link(nginx, tmp_path):
    listeners = [listen(tmp_path / f"churn.{number}.socket") for number in (1, 2)]
    link = tmp_path / "churn.sock"
    link.symlink_to("churn.1.socket")
    assert ask(nginx, "/models/churn/predict") == (200, "churn.1 /predict Bearer t 2")
    fresh = tmp_path / "fresh"
    fresh.symlink_to("churn.2.socket")
    fresh.replace(link)
    big = b"x" * 900_000
    assert ask(nginx, "/models/churn/predict", big) == (200, "churn.2 /predict Bearer t 900000")
    for path in ("churn/metrics", "churn/predict/x", "churn"):
        assert ask(nginx, f"/models/{path}")[0] == 404
    assert ask(nginx, "/models/other/predict")[0] == 502
    assert ask(nginx, "/other")[0] == 418
    for listener in listeners:
        listener.close()


def test_no_request_through_nginx_is_lost_while_the_link_moves(nginx, tmp_path):
    listeners = [listen(tmp_path / f"churn.{number}.socket") for number in range(2)]
    link, over, wrong, answers = tmp_path / "churn.sock", threading.Event(), [], []
    link.symlink_to("churn.0.socket")

    def hammer() -> None:
        while not over.is_set():
            code, text = ask(nginx, "/models/churn/predict")
            (answers if code == 200 else wrong).append((code, text))

    threads = [threading.Thread(target=hammer) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(30):
        fresh = tmp_path / "fresh"
        fresh.symlink_to(f"churn.{turn % 2}.socket")
        fresh.replace(link)
        time.sleep(0.02)
    over.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len({text.split()[0] for _, text in answers}) == 2
    for listener in listeners:
        listener.close()


def test_the_server_program_imports_nothing_of_ours_but_its_json():
    from mlops_server.services import serve

    done = subprocess.run(
        [sys.executable, "-I", "-X", "importtime", serve.__file__], capture_output=True, text=True
    )
    assert "no socket from systemd" in done.stderr
    ours = set(re.findall(r"mlops_server[.\w]*", done.stderr.split("no socket")[0]))
    package = {"mlops_server", "mlops_server.services"}
    assert {name for name in ours if "/" not in name} == package | {"mlops_server.services.values"}
