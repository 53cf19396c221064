"""Whether the files of a backup can take their places: asked before anything is switched.

After the switch has begun it only goes forward, so nothing may turn out to be in the way there.
"""

import array
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from mlops_server import disk
from mlops_server.backup import putback
from mlops_server.errors import EnvError
from mlops_server.layout import Layout

MARGIN = 4 << 20
"""Bytes for folders, and for what else is written meanwhile."""
GET_FLAGS, IMMUTABLE = 0x80086601, 0x30
"""ioctl FS_IOC_GETFLAGS of 64 bits; the flags of `chattr +i` and `+a`."""
FIX = "move it away, or correct its rights, then restore again; nothing was changed"


def rehearse(layout: Layout, source: Path) -> None:
    """Raise `EnvError` that names what would be in the way of `putback.files`."""
    needs: dict[Path, int] = {}
    for path in [*putback.wanted(layout, source), putback.HISTORY]:
        target = layout.root / path
        if os.path.lexists(source / path):
            place = _place(target.parent)
            _free(target)
            needs[place] = needs.get(place, 0) + (source / path).lstat().st_size + 4096
    for place in needs:
        _writable(place)
    _room(needs)


def _place(folder: Path) -> Path:
    """The folder, or the nearest one above that is there."""
    while not os.path.lexists(folder):
        folder = folder.parent
    if not folder.is_dir():
        raise EnvError(f"{folder} is not a folder, and the backup has files below it", fix=FIX)
    return folder


def _free(target: Path) -> None:
    """Whether a file or link may take this place."""
    try:
        found = target.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISDIR(found.st_mode):
        raise EnvError(f"{target} is a folder, and a file in the backup", fix=FIX)
    if str(target) in set(_mounts()):
        raise EnvError(f"{target} is mounted, and cannot be replaced", fix=FIX)
    if stat.S_ISREG(found.st_mode) and _flags(target) & IMMUTABLE:
        fix = f"`chattr -ia {target}`, then restore again; nothing was changed"
        raise EnvError(f"{target} may not be changed, as `lsattr` shows", fix=fix)


def _mounts() -> Iterator[str]:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        yield from (line.split()[4].replace("\\040", " ") for line in lines)


def _flags(path: Path) -> int:
    """Its attributes of chattr; none where the file system has none."""
    found = array.array("L", [0])
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.ioctl(descriptor, GET_FLAGS, found)
    except OSError:
        return 0
    finally:
        os.close(descriptor)
    return found[0]


def _writable(folder: Path) -> None:
    trial = disk.aside(folder / "trial")
    try:
        with disk.writing(trial) as file:
            file.write(b"\0" * 4096)
        trial.unlink()
    except OSError as error:
        raise EnvError(f"{folder} cannot be written: {error.strerror}", fix=FIX) from error


def _room(needs: dict[Path, int]) -> None:
    """Each file is there twice for a moment, the old and the new one."""
    by_device: dict[int, list[Path]] = {}
    for place in needs:
        by_device.setdefault(place.stat().st_dev, []).append(place)
    for places in by_device.values():
        need = sum(needs[place] for place in places) + MARGIN
        found = os.statvfs(places[0])
        if (free := found.f_bavail * found.f_frsize) < need:
            words = f"{free >> 20} MiB are free at {places[0]}, the files need {need >> 20}"
            raise EnvError(words, fix="make room there, then restore again; nothing was changed")
