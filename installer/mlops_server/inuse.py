"""Whether something runs from an environment: a lock is held on it, or a process is in it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

READY = ".mlops/ready.json"
"""Facts about the build; whoever runs from it holds a shared flock on this file."""


def paths(below: Path) -> set[str]:
    """What processes have as program, working folder, open or mapped file below a folder."""
    start = f"{below.resolve()}/"
    found: set[str] = set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            found |= {path for path in _of(process) if path.startswith(start)}
    return found


def _of(process: Path) -> Iterator[str]:
    for name in ("exe", "cwd"):
        try:
            yield os.readlink(process / name)
        except OSError:  # it ended, or is the kernel's or another user's
            continue
    with suppress(OSError):
        for number in os.listdir(process / "fd"):
            with suppress(OSError):
                yield os.readlink(process / "fd" / number)
    try:
        maps = (process / "maps").read_bytes()
    except OSError:
        return
    for line in maps.splitlines():
        words = line.split(maxsplit=5)
        if len(words) == 6:
            yield os.fsdecode(words[5])


@contextmanager
def claimed(prefix: Path, used: set[str], ready: str = READY) -> Iterator[bool]:
    """Whether nothing runs from a prefix; nobody can take its lock, on `ready`, meanwhile."""
    try:
        descriptor = os.open(prefix / ready, os.O_RDONLY)
    except FileNotFoundError:
        yield not _within(prefix, used)
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield not _within(prefix, used)
    finally:
        os.close(descriptor)


def _within(prefix: Path, used: set[str]) -> bool:
    return any(path == str(prefix) or path.startswith(f"{prefix}/") for path in used)


def hold(prefix: Path) -> bool:
    """Take the shared lock for this process and what it becomes; False when it is going away."""
    try:
        descriptor = os.open(prefix / READY, os.O_RDONLY)
    except FileNotFoundError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    os.set_inheritable(descriptor, True)
    try:
        if os.path.samestat(os.fstat(descriptor), os.stat(prefix / READY)):
            return True
    except FileNotFoundError:
        pass
    os.close(descriptor)
    return False
