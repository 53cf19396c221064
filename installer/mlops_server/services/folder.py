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
    """The first 12 hex digits of a SHA-256 over names and content. Raises `EnvError`."""
    found = hashlib.sha256()
    for path in _entries(folder):
        found.update(f"{path.relative_to(folder)}\0".encode(errors="surrogateescape"))
        found.update(_content(path))
    return found.hexdigest()[:12]


def _entries(folder: Path) -> Iterator[Path]:
    """Files and links, by name; links are not followed."""
    for top, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted([*files, *(n for n in folders if (Path(top) / n).is_symlink())]):
            yield Path(top) / name


def _content(path: Path) -> bytes:
    """A digest of one file. The folder is a user's: nothing in it may lead us away or block us."""
    if path.is_symlink():
        return hashlib.sha256(os.fsencode(os.readlink(path))).digest()
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise EnvError(f"{path} is not a file", fix="leave files only in the model's folder")
        found = hashlib.sha256()
        while data := file.read(CHUNK):
            found.update(data)
    return found.digest()
