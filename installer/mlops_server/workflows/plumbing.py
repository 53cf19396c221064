"""Processes of Git that are read while they run."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlops_server.errors import EnvError
from mlops_server.workflows.refusals import Entry


class BrokenMirror(EnvError):  # noqa: N818 - reads as what happened
    """The copy of the repository on this server is not whole: it can be made anew."""


class Contents:
    """Blobs, read one after another from `git cat-file --batch`."""

    def __init__(self, process: "subprocess.Popen[bytes]", where: Path) -> None:
        self._process, self._where = process, where

    def read(self, entry: Entry) -> bytes:
        """The bytes of a file; those of a link are where it leads."""
        source, sink = self._process.stdout, self._process.stdin
        if source is None or sink is None:
            raise BrokenMirror(f"{self._where} cannot be read")
        with suppress(BrokenPipeError):
            sink.write(f"{entry.oid}\n".encode())
            sink.flush()
        head = source.readline().split()
        if len(head) != 3 or head[1] != b"blob" or int(head[2]) != entry.size:
            raise BrokenMirror(f"{entry.path} is missing in {self._where}")
        data = source.read(entry.size)
        if len(data) != entry.size or source.read(1) != b"\n":
            raise BrokenMirror(f"{entry.path} is cut off in {self._where}")
        return data


def records(process: "subprocess.Popen[bytes]") -> Iterator[bytes]:
    """What a process writes, piece by piece, each ended by a zero byte."""
    rest = b""
    while process.stdout and (data := os.read(process.stdout.fileno(), 1 << 16)):
        *whole, rest = (rest + data).split(b"\0")
        yield from whole


@contextmanager
def started(
    words: list[str], environ: dict[str, str], stderr: int = subprocess.DEVNULL, group: bool = False
) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that ends with the block, whatever happens in it."""
    process = subprocess.Popen(
        words,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=group,
    )
    finished = False
    try:
        yield process
        finished = True
    finally:
        if not finished:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL) if group else process.kill()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                with suppress(BrokenPipeError):
                    pipe.close()
        process.wait()
