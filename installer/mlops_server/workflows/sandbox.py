"""Run code of a commit that nobody has looked at yet: as nobody, with limits, without network."""

import os
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mlops_server.confined import NOBODY, WALLS, isolated

GRACE = 20
"""How much longer than the unit's own limit its starter waits, in seconds."""
KEPT = 1 << 20
"""Bytes of output that are looked at, from its beginning and its end; the rest is not read."""
TOO_MUCH = 64 << 20
"""Bytes of output that are a reason to refuse a commit."""
PROPERTIES = (
    NOBODY,
    *WALLS,
    "SupplementaryGroups=mlops-task",  # reads what tasks can read: data
    "PrivateNetwork=yes",
    "InaccessiblePaths=-/var/cache/mlops",
    "MemorySwapMax=0",
    "LimitFSIZE=256M",
    "CPUWeight=20",
    "IOWeight=20",
)


@dataclass(frozen=True)
class Ended:
    """How it ended; `late` when it was stopped because its time was up."""

    code: int
    output: str
    errors: str
    late: bool = False
    size: int = 0
    """Bytes of output and errors, as far as they were read or not."""

    @property
    def tail(self) -> list[str]:
        """The last lines of what it said, without empty ones."""
        lines = (line.rstrip() for line in f"{self.output}\n{self.errors}".splitlines())
        return [line for line in lines if line]


@dataclass(frozen=True)
class Limits:
    """What one run may take."""

    seconds: int
    memory_mb: int = 2048
    processes: int = 256


def run(
    words: list[str],
    folder: Path,
    variables: dict[str, str],
    limits: Limits,
    given: str = "",
    kept: int = KEPT,
) -> Ended:
    """Run a command to its end, or to that of its time; it is a plain process without systemd.

    Output goes to files, so nothing that it leaves behind can keep us waiting, and whatever it
    prints takes no more of our memory than `kept` bytes.
    """
    given_by_us = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/tmp"}  # noqa: S108
    # The user exists for this run only, and has no entry: getpass and others ask for a name.
    variables = given_by_us | {"USER": "mlops", "LOGNAME": "mlops"} | variables
    wrapped = _unit(words, folder, variables, limits) if isolated() else words
    with (
        tempfile.TemporaryFile() as stdin,
        tempfile.TemporaryFile() as stdout,
        tempfile.TemporaryFile() as stderr,
    ):
        stdin.write(given.encode())
        stdin.seek(0)
        process = subprocess.Popen(
            wrapped,
            cwd="/" if isolated() else folder,
            env=None if isolated() else variables,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        begun = time.monotonic()
        code = _wait(process, limits.seconds + (GRACE if isolated() else 0))
        late = code != 0 and time.monotonic() - begun >= limits.seconds
        size = sum(file.seek(0, os.SEEK_END) for file in (stdout, stderr))
        return Ended(code, text(stdout, kept), text(stderr, KEPT), late, size)


def _unit(words: list[str], folder: Path, variables: dict[str, str], limits: Limits) -> list[str]:
    given = (
        *PROPERTIES,
        f"WorkingDirectory={folder}",
        f"RuntimeMaxSec={limits.seconds}",
        f"MemoryMax={limits.memory_mb}M",
        f"TasksMax={limits.processes}",
        f"LimitNPROC={limits.processes}",  # holds without cgroups, too
    )
    return [
        *("systemd-run", "--quiet", "--wait", "--collect", "--pipe", "--service-type=exec"),
        "--description=Check of a commit of the workflows",
        *(f"--property={line}" for line in given),
        *(f"--setenv={name}={value}" for name, value in variables.items()),
        *("--", *words),
    ]


def _wait(process: "subprocess.Popen[bytes]", seconds: float) -> int:
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # also what it left behind
    return process.wait()


def text(file: IO[bytes], most: int) -> str:
    """What is in a file; of a longer one than `most` its beginning and its end."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size <= most:
        return file.read(most).decode(errors="replace")
    head = file.read(most // 2)
    file.seek(size - most // 2)
    cut = f"\n[... {size - 2 * (most // 2)} bytes are left out ...]\n"
    return head.decode(errors="replace") + cut + file.read(most // 2).decode(errors="replace")
