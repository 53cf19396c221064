"""A corporate network on this machine: a proxy with a login, and a package index with a login.

Both are real servers. The index speaks TLS with a certificate of an authority of its own and
hands on what this machine's package index has.
"""

import base64
import select
import socket
import ssl
import subprocess
import threading
import urllib.request
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

from mlops_install.box import host
from pip._internal.models.index import PyPI


@cache
def upstream_index() -> str:
    """The simple API that pip uses on this machine."""
    answer = subprocess.run(["pip", "config", "get", "global.index-url"], capture_output=True)
    return answer.stdout.decode().strip().rstrip("/") or str(PyPI.simple_url)


def upstream_mirrors(codename: str) -> tuple[str, str]:
    """The Debian mirrors that apt uses on this machine: of the release, and of its updates."""
    sources = {s.suites[0]: s.uri for s in host.apt_sources(codename)}
    return sources[codename], sources[f"{codename}-security"]


class Guarded(BaseHTTPRequestHandler):
    """Lets in who knows the login, and remembers every request."""

    protocol_version = "HTTP/1.1"
    header = "Authorization"
    refusal = 401

    def allowed(self) -> bool:
        self.server.seen.append(f"{self.command} {self.path}")
        wanted = base64.b64encode(self.server.login.encode()).decode()
        if self.headers.get(self.header) == f"Basic {wanted}":
            return True
        self.send_response(self.refusal)
        self.send_header(f"{'Proxy' if self.refusal == 407 else 'WWW'}-Authenticate", "Basic")
        self.send_header("Content-Length", "0")
        self.end_headers()
        return False

    def answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet: the requests are in `seen`."""


class Proxy(Guarded):
    """An HTTP proxy: CONNECT for TLS, absolute URLs for the rest."""

    header = "Proxy-Authorization"
    refusal = 407

    def do_CONNECT(self) -> None:
        if not self.allowed():
            return
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port)), 30) as there:
            self.send_response(200)
            self.end_headers()
            pump(self.connection, there)
        self.close_connection = True

    def do_GET(self) -> None:
        if not self.allowed():
            return
        drop = {"proxy-authorization", "proxy-connection", "connection", "host"}
        headers = {k: v for k, v in self.headers.items() if k.lower() not in drop}
        try:
            with DIRECT.open(urllib.request.Request(self.path, headers=headers), timeout=60) as got:
                self.hand_on(got.status, got.headers, got.read())
        except urllib.error.HTTPError as error:
            self.hand_on(error.code, error.headers, error.read())

    def hand_on(self, status, headers, body: bytes) -> None:
        self.send_response(status)
        for name in ("Content-Type", "Last-Modified", "ETag", "Content-Range", "Accept-Ranges"):
            if name in headers:
                self.send_header(name, headers[name])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Index(Guarded):
    """A package index that hands on another one's pages and files."""

    kinds: ClassVar = {"Accept": "application/vnd.pypi.simple.v1+json"}

    def do_GET(self) -> None:
        if not self.allowed():
            return
        kind, _, rest = self.path.strip("/").partition("/")
        if kind == "simple":
            self.answer(self.page(rest.strip("/")), "application/vnd.pypi.simple.v1+json")
        else:
            with DIRECT.open(f"https://{rest}", timeout=120) as got:
                self.answer(got.read(), "application/octet-stream")

    def page(self, project: str) -> bytes:
        request = urllib.request.Request(f"{upstream_index()}/{project}/", headers=self.kinds)
        with DIRECT.open(request, timeout=60) as got:
            return got.read().replace(b'"https://', b'"/files/')


DIRECT = urllib.request.build_opener()


def pump(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until one side ends."""
    while True:
        ready, _, _ = select.select([one, other], [], [], 60)
        for here in ready:
            data = here.recv(65536)
            if not data:
                return
            (other if here is one else one).sendall(data)
        if not ready:
            return


class Quiet(ThreadingHTTPServer):
    """Clients may hang up at any time."""

    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Whether it mattered, the client's own outcome tells."""


def serve(kind: type[Guarded], address: str, login: str, context: ssl.SSLContext | None = None):
    """A server of the kind at `address`, on a free port, until its `shutdown`."""
    server = Quiet((address, 0), kind)
    server.login, server.seen = login, []
    if context:
        # The handshake belongs to the thread of the request, not to the one that accepts.
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def certificate(folder: Path, address: str) -> tuple[Path, ssl.SSLContext]:
    """An authority (its PEM file), and TLS with a certificate of it for `address`."""

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
    openssl("req", "-x509", *new, "-days", "30", "-subj", "/CN=Test authority", *usage,
            "-keyout", "ca.key", "-out", "ca.pem")  # fmt: skip
    openssl("req", *new, "-subj", f"/CN={address}", "-keyout", "own.key", "-out", "own.csr")
    names = f"subjectAltName=IP:{address}\nauthorityKeyIdentifier=keyid\n"
    (folder / "ext").write_text(names)
    openssl("x509", "-req", "-in", "own.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-days", "30", "-extfile", "ext", "-out", "own.pem")  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "own.pem", folder / "own.key")
    return folder / "ca.pem", context
