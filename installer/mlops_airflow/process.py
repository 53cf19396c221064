"""A command under supervision: its output line by line, its end, and its end on demand."""

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mlops_airflow import runner

Emit = Callable[[str], None]
RUNNER = os.path.realpath(runner.__file__)
MARGIN = 2.0  # seconds that the supervisor gets on top of its own period of grace
LINE = 1 << 16  # a longer line is cut


def calling(python: Path, result: int) -> list[str]:
    """The command that calls a function in an environment."""
    return [str(python), "-s", "-B", RUNNER, "call", str(os.getpid()), str(result)]


def executing(command: Sequence[str]) -> list[str]:
    """The command that supervises another one, whether or not its environment has a Python."""
    return [sys.executable, "-I", "-S", "-B", RUNNER, "exec", str(os.getpid()), *command]


def scratch(data: bytes = b"") -> int:
    """A descriptor of a nameless file in memory, at its beginning."""
    descriptor = os.memfd_create("mlops")
    with open(descriptor, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def content(descriptor: int) -> bytes:
    """All that is in such a file."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    with open(descriptor, "rb", closefd=False) as file:
        return file.read()


@dataclass
class _Lines:
    """Bytes as they come, made into lines; what a progress bar overwrote is left out."""

    emit: Emit
    rest: bytes = b""
    last: str = ""

    def feed(self, data: bytes) -> None:
        *lines, self.rest = (self.rest + data).split(b"\n")
        while len(self.rest) > LINE:
            lines.append(self.rest[:LINE])
            self.rest = self.rest[LINE:]
        for line in lines:
            self._out(line)

    def end(self) -> None:
        if self.rest:
            self._out(self.rest)
            self.rest = b""

    def _out(self, line: bytes) -> None:
        shown = line.rstrip().rpartition(b"\r")[2]
        self.last = shown.decode(errors="backslashreplace")
        self.emit(self.last)


@dataclass
class Process:
    """A supervised command. Afterwards: its exit code, negative for a signal, as subprocess has
    it, and the last line of its stdout."""

    command: list[str]
    environ: dict[str, str]
    cwd: Path
    stdin: int = subprocess.DEVNULL
    keep: tuple[int, ...] = ()
    merge: bool = True  # stderr goes where stdout goes, which keeps their order
    code: int = field(default=0, init=False)
    last_line: str = field(default="", init=False)
    stopped: bool = field(default=False, init=False)
    _child: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _deadline: float = field(default=float("inf"), init=False)

    def run(self, emit: Emit) -> None:
        """Run to the end, passing each line on. An exception on the way ends the command."""
        self._child = subprocess.Popen(
            self.command,
            env=self.environ,
            cwd=self.cwd,
            stdin=self.stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if self.merge else subprocess.PIPE,
            pass_fds=self.keep,
            start_new_session=True,
        )
        try:
            self._follow(self._child, emit)
        except BaseException:
            self.stop()
            self._follow(self._child, emit)
            raise
        finally:
            for pipe in (self._child.stdout, self._child.stderr):
                if pipe:
                    pipe.close()
        self.code = self._child.wait()

    def stop(self) -> None:
        """Ask the supervisor to end all that it runs; returns at once."""
        child = self._child
        if child and child.returncode is None and not self.stopped:
            self.stopped = True
            self._deadline = time.monotonic() + runner.GRACE + MARGIN
            child.terminate()

    def _follow(self, child: subprocess.Popen[bytes], emit: Emit) -> None:
        """Pass the output on until the process has ended, or its time is up."""
        ended = os.pidfd_open(child.pid)
        pipes = {pipe.fileno(): _Lines(emit) for pipe in (child.stdout, child.stderr) if pipe}
        try:
            with selectors.DefaultSelector() as selector:
                for descriptor in (ended, *pipes):
                    os.set_blocking(descriptor, False)
                    selector.register(descriptor, selectors.EVENT_READ)
                self._read(selector, ended, pipes)
        finally:
            os.close(ended)
        if child.stdout:
            self.last_line = pipes[child.stdout.fileno()].last
        if child.poll() is None:
            _kill_group(child.pid)
            child.wait()

    def _read(self, selector: selectors.BaseSelector, ended: int, pipes: dict[int, _Lines]) -> None:
        over = False
        while not over and time.monotonic() < self._deadline:
            ready = {key.fd for key, _ in selector.select(timeout=1)}
            over = ended in ready
            for descriptor in pipes if over else ready:
                if not _drain(descriptor, pipes[descriptor], whole=over) and not over:
                    selector.unregister(descriptor)
        for lines in pipes.values():
            lines.end()


def _drain(descriptor: int, lines: _Lines, *, whole: bool) -> bool:
    """Read what there is, once or all of it; false at its end."""
    try:
        while data := os.read(descriptor, LINE):
            lines.feed(data)
            if not whole:
                return True
    except BlockingIOError:
        return True
    return False


def _kill_group(leader: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def ending(code: int) -> str:
    """How a command ended, in words."""
    number = -code if code < 0 else code - 128
    if code < 0 or number in {signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS}:
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    return f"exit code {code}"
