"""Files and links that appear at once, whole, and on the disk: the one place that renames them."""

import ctypes
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

OWN = ".mlops-"
"""How the names of what is being written begin."""


def aside(path: Path) -> Path:
    """Where something is made before it takes its place.

    The name has a fixed length: the longest name that a file may have has no room for an ending.
    It is the same each time, so that the next try takes away what a killed one left.
    """
    return path.with_name(OWN + hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16])


@contextmanager
def writing(
    path: Path, mode: int = 0o600, owner: tuple[int, int] | None = None
) -> Iterator[IO[bytes]]:
    """Write a file that takes its place when the block ends well; until then nobody else reads it.

    Owner and mode are set on the open file: what somebody puts under its name is never touched.
    """
    fresh = aside(path)
    fresh.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        with open(os.open(fresh, flags, 0o600), "wb") as file:
            yield file
            file.flush()
            if owner:
                os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    sync(path.parent)


def write(path: Path, data: bytes, mode: int = 0o600, owner: tuple[int, int] | None = None) -> None:
    """Write a file; the old one or the new one is there at any moment."""
    with writing(path, mode, owner) as file:
        file.write(data)


def point(link: Path, target: str) -> None:
    """Make or move a link."""
    fresh = aside(link)
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link)
    sync(link.parent)


def exchange(one: Path, other: Path) -> None:
    """Let two paths change places at once (renameat2(2)). Raises `OSError`."""
    libc, here, both = ctypes.CDLL(None, use_errno=True), -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if libc.renameat2(here, os.fsencode(one), here, os.fsencode(other), both) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(one))
    sync(one.parent)


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
