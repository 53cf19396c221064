"""The folder of a trained model: where it may be, and a digest of what is in it."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from mlops_server.errors import EnvError
from mlops_server.layout import Layout

CHUNK = 1 << 20


def check(layout: Layout, folder: Path) -> Path:
    """The folder by its real path, below the data folder. Raises `EnvError`."""
    data = layout.data.resolve()
    real = folder.resolve() if folder.is_absolute() else (data / folder).resolve()
    fix = f"a task writes the trained model to a folder of its own below {layout.data}"
    if not real.is_relative_to(data) or real == data:
        raise EnvError(f"{folder} is not below {layout.data}", fix=fix)
    if not real.is_dir():
        raise EnvError(f"{folder} is not a folder", fix=fix)
    return real


def digest(folder: Path) -> str:
    """The first 12 hex digits of a SHA-256 over names and content, of a folder by its real path.

    The folder is a user's, who may exchange any part of it meanwhile: nothing in it or on the way
    to it may lead us away or block us. Raises `EnvError`, and `OSError` for what is no folder.
    """
    found = hashlib.sha256()
    for name, place, path in _entries(folder):
        found.update(f"{path}\0".encode(errors="surrogateescape"))
        found.update(_content(name, place, folder / path))
    return found.hexdigest()[:12]


def changed(layout: Layout, folder: Path, known: str) -> bool:
    """Whether a folder is no longer what its digest says, or no longer below the data folder."""
    try:
        return digest(check(layout, folder)) != known
    except (EnvError, OSError):
        return True


def _entries(folder: Path) -> Iterator[tuple[str, int, str]]:
    """Files and links, by name: the name, the open folder that has it, and the path below ours."""
    descriptor = _opened(folder)
    try:
        for top, folders, files, place in os.fwalk(".", dir_fd=descriptor):
            folders.sort()
            links = [name for name in folders if _is_link(name, place)]
            for name in sorted([*files, *links]):
                yield name, place, os.path.normpath(f"{top}/{name}")
    finally:
        os.close(descriptor)


def _opened(folder: Path) -> int:
    """The folder, each part of its path opened from the one above; none may be a link."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(folder.anchor, flags)
    for part in folder.parts[1:]:
        try:
            below = os.open(part, flags, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = below
    return descriptor


def _is_link(name: str, place: int) -> bool:
    return stat.S_ISLNK(os.stat(name, dir_fd=place, follow_symlinks=False).st_mode)


def _content(name: str, place: int, path: Path) -> bytes:
    """A digest of one file."""
    if _is_link(name, place):
        target = os.readlink(name, dir_fd=place)
        return hashlib.sha256(os.fsencode(target)).digest()
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(name, flags, dir_fd=place)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise EnvError(f"{path} is not a file", fix="leave files only in the model's folder")
        found = hashlib.sha256()
        while data := file.read(CHUNK):
            found.update(data)
    return found.digest()
