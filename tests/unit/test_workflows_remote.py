"""Git servers over SSH and HTTPS, and Git LFS: what goes wrong there, and what is said."""

import base64
import getpass
import hashlib
import http.server
import os
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import upstream
from machine import need
from mlops_server.errors import EnvError
from mlops_server.workflows.refusals import Rejected, TryAgain
from mlops_server.workflows.remote import explain
from sshd import Host, free_port, running
from upstream import Server, Upstream

GOOD = {"dags/a.py": "a = 1\n"}


@pytest.fixture
def repo(tmp_path):
    found = Upstream(tmp_path)
    found.push(GOOD)
    return found


# --- SSH ------------------------------------------------------------------------------------


@pytest.fixture
def host(tmp_path) -> Iterator[Host]:
    with running(tmp_path / "host") as found:
        yield found


def test_pulling_over_ssh(tmp_path, repo, host, capsys):
    url = f"ssh://{getpass.getuser()}@127.0.0.1:{host.port}{repo.bare}"
    server = Server(tmp_path / "root", url, capsys)
    key = server("key")
    said = server("fetch", code=1)
    assert "the host key of" in said
    assert "[workflows] known_hosts" in said
    server.layout.known_hosts.write_text(host.pin)
    said = server("fetch", code=1)
    assert "refuses the deploy key" in said
    assert "`mlops workflows key`" in said
    assert not (server.layout.workflows_state / "state.json").exists()
    (host.folder / "authorized").write_text(f"restrict {key}\n")
    assert server.fetch()["new"]
    server.configure(repository=f"{url}.not")
    assert "there is no such repository" in server("fetch", code=1)
    server.configure()
    server.layout.known_hosts.write_text(host.pin.replace(host.pin.split()[2], _other_key(host)))
    said = server("fetch", code=1)
    assert "the host key of" in said


def _other_key(host: Host) -> str:
    return host.key("other").split()[1]


def test_nobody_answers(tmp_path, repo, capsys):
    server = Server(tmp_path / "root", f"ssh://git@127.0.0.1:{free_port()}/x.git", capsys)
    assert "cannot be reached" in server("fetch", code=75)
    server.configure(repository=f"https://127.0.0.1:{free_port()}/x.git")
    assert "cannot be reached" in server("fetch", code=75)
    server.configure(repository="https://no-such-host.invalid/x.git")
    assert "cannot be reached" in server("fetch", code=75)


# --- HTTPS ----------------------------------------------------------------------------------


class Web(http.server.BaseHTTPRequestHandler):
    """git-http-backend behind a login, as a Git server has it."""

    protocol_version = "HTTP/1.1"
    root = Path("/")
    login = "Basic " + base64.b64encode(b"mlops:secret").decode()

    def do_GET(self) -> None:
        """Answer a request of Git."""
        if self.headers.get("Authorization") != self.login:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        environ = upstream.CLEAN | {
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(data)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        done = subprocess.run(
            ["git", "http-backend"], input=data, env=environ, capture_output=True, check=False
        )
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        lines = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self.send_response(int(lines.pop("Status", "200")[:3]))
        for name, value in (lines | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - http.server's name

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@pytest.fixture
def web(tmp_path) -> Iterator[tuple[int, Path]]:
    need("openssl")
    certificate, key = tmp_path / "web.crt", tmp_path / "web.key"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
             "-keyout", str(key), "-out", str(certificate)]  # fmt: skip
    subprocess.run(words, check=True, capture_output=True)
    handler = type("Handler", (Web,), {"root": tmp_path})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, certificate
    server.shutdown()


def test_pulling_over_https(tmp_path, repo, web, capsys, monkeypatch):
    port, certificate = web
    server = Server(tmp_path / "root", f"https://localhost:{port}/upstream.git", capsys)
    assert "the certificate of" in server("fetch", code=1)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert "refuses the login, or wants one" in server("fetch", code=1)
    logins = server.layout.git_credentials
    logins.parent.mkdir(parents=True)
    wrong = f"https://mlops:wrong@localhost%3a{port}\n"
    logins.write_text(wrong)
    said = server("fetch", code=1)
    assert "refuses the login, or wants one" in said
    assert "wrong@" not in said
    assert logins.read_text() == wrong  # Git's own helper would have removed it
    logins.write_text(wrong.replace("wrong", "secret"))
    assert server.fetch()["new"]
    server.configure(repository=f"https://localhost:{port}/nothing.git")
    assert "there is no such repository" in server("fetch", code=1)


# --- Git LFS --------------------------------------------------------------------------------


def test_files_of_git_lfs(tmp_path, repo, capsys):
    need("git-lfs")
    repo.git("lfs", "install", "--local")
    large = os.urandom(300_000)
    commit = repo.push({".gitattributes": "*.bin filter=lfs -text\n", "data/a.bin": large})
    server = Server(tmp_path / "root", f"file://{repo.bare}", capsys)
    assert "is a pointer of Git LFS, and lfs is off" in server.rejected(commit)
    server.configure(lfs=True)
    assert server.fetch("--again")["new"]
    assert (server.layout.releases / commit[:12] / "data/a.bin").read_bytes() == large
    commit = repo.push({"data/b.bin": os.urandom((1 << 20) + 1)})
    server.configure(lfs=True, max_file_mb=1)
    assert "data/b.bin has 1.0 MiB" in server.rejected(commit)


def test_a_mirror_keeps_the_large_files_of_one_release(tmp_path, repo, capsys):
    """Git LFS keeps all that it ever fetched: the next model of 50 MB, and the next."""
    need("git-lfs")
    repo.git("lfs", "install", "--local")
    repo.write({".gitattributes": "*.bin filter=lfs -text\n", "data/stays.bin": b"s" * 1000})
    server = Server(tmp_path / "root", f"file://{repo.bare}", capsys)
    server.configure(lfs=True)
    for _ in range(3):
        repo.push({"data/model.bin": os.urandom(1000)})
        assert server.fetch()["new"]
    kept = [p for p in (server.layout.repository / "lfs").rglob("*") if p.is_file()]
    names = ("stays.bin", "model.bin")
    now = {hashlib.sha256((repo.work / "data" / name).read_bytes()).hexdigest() for name in names}
    assert {path.name for path in kept} == now
    repo.push(GOOD | {"data/model.bin": (repo.work / "data/model.bin").read_bytes()[::-1]})
    assert server.fetch()["new"]


def test_git_lfs_is_not_installed(tmp_path, repo, capsys, monkeypatch):
    repo.push({"data.bin": upstream.pointer(b"large")})
    server = Server(tmp_path / "root", repo.bare, capsys)
    server.configure(lfs=True)
    bare = tmp_path / "bin"
    bare.mkdir()
    for name in ("git", "setpriv", "sync", "sh"):
        (bare / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(bare))
    assert "git-lfs is not installed" in server("fetch", code=1)


# --- words ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("fatal: Could not read from remote repository.", TryAgain),
        ("ssh: connect to host x port 22: Connection timed out", TryAgain),
        ("error: RPC failed; HTTP 502 curl 22 The requested URL returned error: 502", TryAgain),
        ("fatal: unable to access 'https://x/': Could not resolve host: x", TryAgain),
        ("fatal: early EOF\nfatal: fetch-pack: invalid index-pack output", TryAgain),
        ("git@x: Permission denied (publickey).\nCould not read from remote repository", EnvError),
        ("error: object 1: hasDotgit: has '.git'\nfatal: fsck error in packed object", Rejected),
        ("ERROR: Repository not found.\nCould not read from remote repository.", EnvError),
        ("fatal: write error: No space left on device", EnvError),
        ("something new", EnvError),
    ],
)  # fmt: skip
def test_the_kind_of_a_failure(said, kind):
    found = explain(said, "ssh://x/y.git")
    assert type(found) in (kind, *kind.__subclasses__())
    assert found.code == kind.code


def test_what_a_server_says_cannot_paint_the_log():
    found = explain("remote: \x1b[31mred\x1b]0;title\x07\nfatal: Permission denied (x)", "u")
    assert "\x1b" not in str(found)
    assert "\x07" not in str(found)
