"""Files of the data folder that are missing come back; those that are there stay.

Tasks own the folder, so no path in it is followed: each folder is opened from the one above it,
and may be no link. A file is written in the folder where it belongs, which may be a disk of its
own, and gets its name when it is whole.
"""

import errno
import grp
import os
import pwd
import secrets
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from mlops_server import disk
from mlops_server.errors import EnvError
from mlops_server.layout import Layout

TRAPS = (errno.ENOTDIR, errno.ELOOP)
"""What opening says where now a file or a link is: it is a user's, and stays."""
NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP)
"""What file systems without hard links say."""


def restore(layout: Layout, archive: Path) -> None:
    """Fill the data folder from its part of a backup; may be repeated. Raises `EnvError`."""
    top = PurePosixPath(layout.data.relative_to(layout.root))
    at = layout.data
    try:
        with _opened(layout.data.resolve()) as folder, tarfile.open(archive) as tar:
            for member in tar:
                at = layout.root / member.name
                _put(tar, member, top, folder)
                tar.members = []  # type: ignore[attr-defined]  # a million need memory
    except (OSError, tarfile.TarError, EOFError) as error:
        raise EnvError(
            f"files of the data folder are missing from {at} on: {error}",
            fix="correct that, then restore the same backup again: files that are there stay",
        ) from error


def _put(tar: tarfile.TarFile, member: tarfile.TarInfo, top: PurePosixPath, folder: int) -> None:
    """Bring one thing back where nothing is in its place."""
    path = PurePosixPath(member.name)
    if not path.is_relative_to(top) or path == top or ".." in path.parts:
        return
    try:
        with _walked(path.relative_to(top).parent, folder) as place:
            if not _there(path.name, place):
                _make(tar, member, path.name, place, folder, top)
    except OSError as error:
        if error.errno not in TRAPS:
            raise


def _make(
    tar: tarfile.TarFile,
    member: tarfile.TarInfo,
    name: str,
    place: int,
    folder: int,
    top: PurePosixPath,
) -> None:
    """A folder, link or file; what else a tar may hold, such as a device, is left out."""
    if member.isdir():
        os.mkdir(name, 0o700, dir_fd=place)
        with _opened(name, place) as made:
            _settle(made, member)
    elif member.issym():
        os.symlink(member.linkname, name, dir_fd=place)
        os.chown(name, *_owner(member), dir_fd=place, follow_symlinks=False)
    elif member.islnk():
        _hard_link(member.linkname, top, name, place, folder)
    elif member.isreg():
        _file(tar, member, name, place)


def _hard_link(linked: str, top: PurePosixPath, name: str, place: int, folder: int) -> None:
    """A second name of a file that came back before."""
    path = PurePosixPath(linked)
    if not path.is_relative_to(top) or ".." in path.parts:
        return
    with _walked(path.relative_to(top).parent, folder) as there, suppress(FileNotFoundError):
        os.link(path.name, name, src_dir_fd=there, dst_dir_fd=place, follow_symlinks=False)


def _file(tar: tarfile.TarFile, member: tarfile.TarInfo, name: str, place: int) -> None:
    fresh = disk.OWN + secrets.token_hex(8)  # nobody has a file of this name
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(fresh, flags, 0o600, dir_fd=place)
    try:
        tar.makefile(member, f"/proc/self/fd/{descriptor}")  # with its holes
        _settle(descriptor, member)
        os.fsync(descriptor)
        _name(fresh, name, place)
    finally:
        os.close(descriptor)
        with suppress(FileNotFoundError):
            os.unlink(fresh, dir_fd=place)


def _name(fresh: str, name: str, place: int) -> None:
    """Give a finished file its name, unless a task wrote one meanwhile."""
    try:
        os.link(fresh, name, src_dir_fd=place, dst_dir_fd=place, follow_symlinks=False)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        os.rename(fresh, name, src_dir_fd=place, dst_dir_fd=place)


def _settle(descriptor: int, member: tarfile.TarInfo) -> None:
    """Owner, mode and time, on what is open."""
    os.fchown(descriptor, *_owner(member))
    os.fchmod(descriptor, member.mode & 0o7777)
    os.utime(descriptor, (member.mtime, member.mtime))


def _owner(member: tarfile.TarInfo) -> tuple[int, int]:
    """By name, as tar does: another server may have given other numbers."""
    uid, gid = member.uid, member.gid
    with suppress(KeyError):
        uid = pwd.getpwnam(member.uname).pw_uid
    with suppress(KeyError):
        gid = grp.getgrnam(member.gname).gr_gid
    return uid, gid


def _there(name: str, place: int) -> bool:
    try:
        os.stat(name, dir_fd=place, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


@contextmanager
def _walked(path: PurePosixPath, folder: int) -> Iterator[int]:
    """A folder below an open one, by its parts. Raises `OSError` where one is no folder."""
    descriptor = os.dup(folder)
    try:
        for part in path.parts:
            below = _open(part, descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _opened(path: str | Path, folder: int | None = None) -> Iterator[int]:
    descriptor = _open(path, folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _open(path: str | Path, folder: int | None) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
