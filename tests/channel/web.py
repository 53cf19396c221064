"""Serve the channel over HTTP, as a mirror of conda-forge."""

import base64
import hmac
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from channel.make import Channel

CONDA_FORGE = "https://conda.anaconda.org/conda-forge"


class Request(NamedTuple):
    """One request as it was answered."""

    method: str
    path: str
    status: int


@dataclass
class Server:
    """A running server; `seen` are its requests in order of their answers."""

    url: str
    port: int = 0
    seen: list[Request] = field(default_factory=list)

    def at(self, address: str) -> str:
        """The URL for somebody who reaches this machine at another address."""
        return f"http://{address}:{self.port}/conda-forge"

    def fetched(self) -> list[str]:
        """The names of the packages that were sent, in order."""
        names = [
            r.path.rpartition("/")[2] for r in self.seen if (r.method, r.status) == ("GET", 200)
        ]
        return [name for name in names if name.endswith(".conda")]


def rattler_config(url: str) -> str:
    """Rattler's configuration: the channel at `url` in place of conda-forge."""
    return f'[mirrors]\n"{CONDA_FORGE}" = ["{url}"]\n'


@contextmanager
def serve(
    channel: Channel, address: str = "127.0.0.1", port: int = 0, login: str = ""
) -> Iterator[Server]:
    """Serve the channel while the context lasts; with `login` ("user:password"), only to that.

    Bind to a machine's own address, or to 0.0.0.0, for boxes to reach it.
    """
    server = Server("")
    handler = partial(_Handler, directory=str(channel.folder), seen=server.seen, login=login)
    with ThreadingHTTPServer((address, port), handler) as listening:
        server.port = listening.server_port
        server.url = server.at(address)
        thread = threading.Thread(target=listening.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown()
            thread.join()


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def __init__(self, *args: Any, seen: list[Request], login: str, **kwargs: Any) -> None:
        self.seen = seen
        self.wanted = "Basic " + base64.b64encode(login.encode()).decode() if login else ""
        super().__init__(*args, **kwargs)

    def do_GET(self) -> None:
        if self._known():
            super().do_GET()

    def do_HEAD(self) -> None:
        if self._known():
            super().do_HEAD()

    def _known(self) -> bool:
        """Whether the login is right; the answer has been sent if not."""
        given = self.headers.get("Authorization", "")
        if not self.wanted or hmac.compare_digest(given, self.wanted):
            return True
        self.send_response(HTTPStatus.UNAUTHORIZED)
        self.send_header("WWW-Authenticate", 'Basic realm="conda"')
        self.send_header("Content-Length", "0")
        self.end_headers()
        return False

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        status = int(code) if str(code).isdigit() else 0
        self.seen.append(Request(self.command, self.path, status))

    def log_message(self, *message: Any) -> None:
        """Nothing: `seen` is the log."""
