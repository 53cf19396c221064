"""The door: one request of a task over a Unix socket, answered by a command of ours.

A request is one line, {"words": ["workflows", "fetch", "--json"]}. The answer is the command's
output as it comes, then a last line `exit N`. Only the words below are served; systemd starts one
process, as root, for each connection: `mlops door`, with the connection as stdin.
"""

import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import IO

from mlops_server import jsontext
from mlops_server.layout import DIGITS, Layout

SERVED = (
    re.compile(r"workflows (?:fetch|models|status)(?: --json)?"),
    re.compile(r"workflows (?:check|activate|clean)"),
    re.compile(rf"env build [a-z][a-z0-9_-]{{0,99}} [0-9a-f]{{{DIGITS}}}"),
    re.compile(
        r"service deploy [a-z][a-z0-9_-]{0,39} --model [a-z][a-z0-9_-]{0,99}"
        r" --folder /srv/mlops/data/[A-Za-z0-9_.=+@:/-]{1,300}(?: --release [0-9a-f]{12})?"
    ),
)
FINISHED = {("workflows", "activate"), ("workflows", "clean"), ("service", "deploy")}
"""How that begins which goes on to its end when the client goes away; the rest is stopped."""
MOST = 4096
PATIENCE = 10.0
"""Seconds for a request to come."""
STALLED = 60.0
"""Seconds for a client to take what we send."""
GRACE = 10.0
"""Seconds between SIGTERM and SIGKILL."""
BAD_REQUEST = 1


class RefusedError(Exception):
    """A request that is not served; the text says why."""


def serve(layout: Layout, connection: socket.socket | None = None) -> int:
    """Answer the request on stdin, or on the connection given; 0 unless the client was at fault."""
    with connection or socket.socket(fileno=os.dup(0)) as client:
        client.settimeout(PATIENCE)
        who = _peer(client)
        try:
            words = read(client)
        except RefusedError as error:
            _log(f"{who}: refused: {error}")
            _send(client, f"mlops: {error}\nexit {BAD_REQUEST}\n".encode())
            return BAD_REQUEST
        _log(f"{who}: {' '.join(words)}")
        client.settimeout(STALLED)
        code = _answer(client, words)
        _log(f"{who}: {' '.join(words)}: exit {code}")
    return 0


def read(client: socket.socket) -> list[str]:
    """The words of a request. Raises `RefusedError`."""
    data, until = b"", time.monotonic() + PATIENCE
    while b"\n" not in data:
        if len(data) >= MOST:
            raise RefusedError("the request is too long")
        if time.monotonic() > until:
            raise RefusedError(f"no request came within {PATIENCE:g} s")
        try:
            piece = client.recv(MOST - len(data))
        except OSError as error:
            raise RefusedError(f"no request came: {error}") from None
        if not piece:
            raise RefusedError("the request ends before its line does")
        data += piece
    return parse(data.partition(b"\n")[0])


def parse(line: bytes) -> list[str]:
    """The words of a line, when they are served. Raises `RefusedError`."""
    try:
        found = jsontext.loads(line)
        words = found["words"]
    except (ValueError, TypeError, KeyError):
        raise RefusedError('not a request: {"words": [...]} is one') from None
    if set(found) != {"words"} or not isinstance(words, list):
        raise RefusedError('not a request: {"words": [...]} is one')
    if not all(isinstance(word, str) and word and " " not in word for word in words):
        raise RefusedError("words must be texts without spaces")
    if not any(pattern.fullmatch(" ".join(words)) for pattern in SERVED):
        raise RefusedError("this command is not allowed here")
    return words


def _answer(client: socket.socket, words: list[str]) -> int:
    """Run the command; hand on its output, and its end."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-B", "-m", "mlops_server", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    there = _hand_on(client, process)
    if not there:
        goes_on = tuple(words[:2]) in FINISHED
        _log(f"the client is gone: {'it goes on' if goes_on else 'stopped'}")
        threading.Thread(target=_drain, args=(process,), daemon=True).start()
        if not goes_on:
            _stop(process)
    code = process.wait()
    code = 128 - code if code < 0 else code
    _send(client, f"exit {code}\n".encode())
    return code


def _hand_on(client: socket.socket, process: "subprocess.Popen[bytes]") -> bool:
    """Copy output until the command ends; False as soon as the client is gone."""
    output, ended = _pipe(process).fileno(), os.pidfd_open(process.pid)
    poll = select.poll()
    poll.register(output, select.POLLIN)
    poll.register(client, select.POLLRDHUP)
    poll.register(ended, select.POLLIN)
    last = b""
    while True:
        events = dict(poll.poll())
        piece = os.read(output, 1 << 16) if output in events else b""
        if piece:
            if not _send(client, piece):
                return False
            last = piece
        elif output in events or ended in events:  # what it left behind may hold the pipe open
            return _send(client, b"" if last.endswith(b"\n") or not last else b"\n")
        elif client.fileno() in events:
            return False


def _drain(process: "subprocess.Popen[bytes]") -> None:
    """Keep a command that goes on from waiting for a reader: what it says goes to our log."""
    for line in _pipe(process):
        _log(line.decode(errors="replace").rstrip())


def _pipe(process: "subprocess.Popen[bytes]") -> IO[bytes]:
    if process.stdout is None:
        raise ValueError("the command has no pipe")
    return process.stdout


def _send(client: socket.socket, data: bytes) -> bool:
    """Send; False when the client is gone, or has not read for a minute."""
    try:
        client.sendall(data)
    except OSError:
        return False
    return True


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End the command and everything in its session: each step is safe to begin again."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)


def _peer(client: socket.socket) -> str:
    """Who is at the other end, as the kernel knows it."""
    size = struct.calcsize("3i")
    found = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    pid, uid, gid = struct.unpack("3i", found)
    return f"pid {pid}, uid {uid}, gid {gid}"


def _log(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
