"""What a deployed model runs: a small HTTP server in the model's environment.

Started by path, with any Python from 3.8 on and nothing but the standard library:

    python serve.py RECORD PREFIX

RECORD is the JSON file that `mlops service deploy` wrote, PREFIX the environment. The listening
socket comes from systemd as descriptor 3. One connection is one request: a connection kept open
could be closed by us at the moment in which the next request is on its way.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib
import json
import os
import re
import select
import signal
import socket
import sys
import threading
import time
import traceback
from contextlib import suppress
from http.server import BaseHTTPRequestHandler

if __name__ == "__main__":  # else what is in this file's folder could hide a model's modules
    sys.path[0] = os.path.realpath(f"{__file__}/../../..")

from mlops_server.services.values import as_json, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, ModuleType
    from typing import Any

LISTENER = 3  # where systemd's descriptors begin
LARGEST = 16 << 20  # bytes of a request; nginx's limit is the same
PATIENCE = 30.0  # seconds that a client may be silent, and that a stop takes new connections
LINGER = 2.0  # seconds in which a refused client may go on sending, to be able to read why
START = 300  # seconds for load() and EXAMPLE where the record says nothing; as the unit has it
METHODS = {"/health": "GET", "/predict": "POST"}


class RefusedError(Exception):
    """A request that is not answered: its HTTP status, and the text for the client."""


class Service:
    """The loaded model, and what is known about this instance."""

    def __init__(self, record: dict[str, Any], prefix: str) -> None:
        self.record = record
        self.prefix = prefix
        self.counts = {"requests": 0, "refused": 0, "errors": 0}
        self.counting = threading.Lock()
        self.module = load_module(os.path.join(record["release"], "models", record["model"]))
        self.model = self.module.load(record["folder"])
        example = getattr(self.module, "EXAMPLE", None)
        if example is not None:
            self.predict(example)

    def predict(self, request: dict[str, Any]) -> bytes:
        """The answer as JSON. Raises what the model raises, and `TypeError` for no dict."""
        answer = self.module.predict(self.model, request)
        if not isinstance(answer, dict):
            raise TypeError(f"predict() returned {type(answer).__name__}, not a dict")
        return as_json(answer)

    def health(self) -> bytes:
        """What runs here, and how much it has answered."""
        shown = ("service", "number", "model", "lock", "release", "folder", "digest", "deployed_at")
        found = {name: self.record[name] for name in shown}
        return json.dumps({**found, "environment": self.prefix, **self.counts}).encode()

    def knows(self, authorization: str) -> bool:
        """Whether a header carries the token of this service."""
        scheme, _, given = authorization.partition(" ")
        given = given if scheme.lower() == "bearer" else ""
        digest = hashlib.sha256(given.strip().encode()).hexdigest()
        return hmac.compare_digest(digest, self.record["token_sha256"])

    def count(self, code: int) -> None:
        """Note how a request ended."""
        with self.counting:
            self.counts["requests"] += 1
            if code >= 400:
                self.counts["errors" if code >= 500 else "refused"] += 1


def load_module(folder: str) -> ModuleType:
    """The model's service.py. Raises `SystemExit` when a function is missing."""
    sys.path.insert(0, folder)
    module = importlib.import_module("service")
    for name in ("load", "predict"):
        if not callable(getattr(module, name, None)):
            raise SystemExit(f"{folder}/service.py has no function {name}")
    return module


class Handler(BaseHTTPRequestHandler):
    """One request; `service` is set on the subclass that serves."""

    service: Service
    server_version, sys_version = "mlops", ""
    timeout = PATIENCE
    whole = False  # whether all of the request was read

    def __getattr__(self, name: str) -> Any:
        """Every method is answered by us: the base class has a page of HTML for what is unknown."""
        if name.startswith("do_"):
            return self.reply
        raise AttributeError(name)

    def reply(self) -> None:
        """Answer a request; an error becomes its status and a short text."""
        try:
            code, answer = 200, self.asked()
        except RefusedError as error:
            code, answer = error.args[0], _error(error.args[1])
        except BaseException as error:  # a model may even call sys.exit()
            traceback.print_exc()
            code, answer = 500, _error(f"{type(error).__name__} in the model; see the journal")
        self.answer(code, answer)

    def asked(self) -> bytes:
        """The answer to a good request. Raises `RefusedError`."""
        data = self.received()  # all of it: who is still sending would miss the answer
        if not self.service.knows(self.headers.get("Authorization", "")):
            raise RefusedError(401, "the token is missing or wrong")
        path = self.path.partition("?")[0]
        if path not in METHODS:
            raise RefusedError(404, "there is only POST /predict and GET /health")
        if self.command != METHODS[path]:
            raise RefusedError(405, f"{path} takes {METHODS[path]} only")
        known = self.service
        return known.health() if path == "/health" else known.predict(self.parsed(data))

    def answer(self, code: int, text: bytes) -> None:
        """Send an answer; one to HEAD has no body."""
        self.service.count(code)
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        if code in (401, 405):
            allowed = ("Allow", METHODS.get(self.path.partition("?")[0], "GET, POST"))
            self.send_header(*(("WWW-Authenticate", "Bearer") if code == 401 else allowed))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the base class refuses, a line of a request that is none for instance, in JSON."""
        self.request_version = "HTTP/1.0"  # or an answer to nonsense would have no head
        self.answer(code, _error(message or "this is not a request"))

    def received(self) -> bytes:
        """The request's body. Raises `RefusedError`."""
        length = ",".join(self.headers.get_all("Content-Length", ["0"])).strip()
        if "Transfer-Encoding" in self.headers:
            raise RefusedError(411, "a request must have a Content-Length")
        if not re.fullmatch("[0-9]+", length):
            raise RefusedError(400, "the Content-Length is not a number of bytes")
        if len(length) > 18 or int(length) > LARGEST:
            raise RefusedError(413, f"a request may have {LARGEST} bytes at most")
        try:
            data = self.rfile.read(int(length))
        except OSError as error:
            raise RefusedError(408, f"the request did not come: {error}") from None
        if len(data) < int(length):
            raise RefusedError(400, "the request is shorter than its Content-Length")
        self.whole = True
        return data

    def parsed(self, data: bytes) -> dict[str, Any]:
        """The request's JSON object, if check() takes it too. Raises `RefusedError`."""
        try:
            found = parse(data)
        except ValueError as error:
            raise RefusedError(400, f"this is not JSON: {error}") from None
        if not isinstance(found, dict):
            raise RefusedError(400, "a request must be a JSON object")
        try:
            getattr(self.service.module, "check", id)(found)
        except ValueError as error:
            raise RefusedError(400, str(error)) from None
        return found

    def finish(self) -> None:
        """End the answer; who is cut off while still sending would not get to read it."""
        if not self.whole:
            with suppress(OSError):
                self.connection.settimeout(LINGER)
                self.connection.shutdown(socket.SHUT_WR)
                self.rfile.read(LARGEST)
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the base
        """nginx has a log of requests."""


def _error(text: str) -> bytes:
    return json.dumps({"error": text}).encode()


class Server:
    """Threads that accept from one listening socket, until they are told to stop."""

    def __init__(self, listener: socket.socket, handler: type[Handler], threads: int) -> None:
        listener.setblocking(False)  # several threads wake for one connection
        self.listener = listener
        self.handler = handler
        self.deadline = float("inf")
        self.stopped, self.stop_end = os.pipe()
        self.threads = [threading.Thread(target=self.work) for _ in range(threads)]

    def stop(self, signum: int, frame: FrameType | None) -> None:
        """Signal handler: end when what is queued has been answered."""
        if self.deadline == float("inf"):
            self.deadline = time.monotonic() + PATIENCE
            os.close(self.stop_end)  # from now on every poll() returns at once

    def run(self) -> None:
        """Serve until a signal; returns when the last request has its answer."""
        for thread in self.threads:
            thread.start()
        for thread in self.threads:
            thread.join()

    def work(self) -> None:
        """Accept and answer, one request after another."""
        poll = select.poll()
        poll.register(self.listener, select.POLLIN)
        poll.register(self.stopped, select.POLLIN)
        while time.monotonic() < self.deadline:
            poll.poll()
            try:
                connection, _ = self.listener.accept()
            except BlockingIOError:
                if self.deadline < float("inf"):
                    return  # nobody is queued any more
                continue
            self.answer(connection)

    def answer(self, connection: socket.socket) -> None:
        """Answer one request; a client that went away concerns nobody else."""
        with connection:
            connection.settimeout(PATIENCE)
            try:
                self.handler(connection, ("local", 0), None)  # type: ignore[arg-type]
            except OSError as error:
                print(f"a client went away: {error}", flush=True)
            except Exception:  # a thread that ends serves nobody any more
                traceback.print_exc()


def notify(text: str) -> None:
    """Tell systemd, where it is there and listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.connect("\0" + address[1:] if address.startswith("@") else address)
        channel.sendall(text.encode())


def main(arguments: list[str]) -> None:
    """See the top of the file."""
    del sys.path[0]  # ours
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        raise SystemExit("no socket from systemd")
    with open(arguments[0], encoding="utf-8") as file:
        record = json.load(file)
    listener = socket.socket(fileno=LISTENER)
    listener.set_inheritable(False)
    # systemd's own limit, or this one if it is longer
    notify(f"EXTEND_TIMEOUT_USEC={record.get('start_timeout', START)}000000")
    handler = type("Handler", (Handler,), {"service": Service(record, arguments[1])})
    server = Server(listener, handler, record["threads"])
    signal.signal(signal.SIGTERM, server.stop)
    signal.signal(signal.SIGINT, server.stop)
    notify("READY=1")
    server.run()
    notify("STOPPING=1")


if __name__ == "__main__":
    main(sys.argv[1:])
