"""Files of the data folder that are missing come back; those that are there stay.

Tasks write in the folder, so whoever unpacks is their user: what is exchanged meanwhile leads
nowhere that they could not go by themselves. No path in it is followed: each folder is opened from
the one above it, and may be no link. A file is written in the folder where it belongs, which may be
a disk of its own, and gets its name when it is whole. Folders get their modes last, the inner ones
first: who may write into none of his own could fill none.
"""

import errno
import grp
import os
import pwd
import secrets
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mlops_server import disk
from mlops_server.errors import EnvError
from mlops_server.layout import Layout
from mlops_server.person import Person

TRAPS = (errno.ENOTDIR, errno.ELOOP)
"""What opening says where now a file or a link is: it is a user's, and stays."""
NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP)
"""What file systems without hard links say."""
CODE = Path(__file__).parents[2]
SHOWN = 5
MOST_SAID = 4096
"""Bytes of what the unpacking process says that are told."""


def restore(layout: Layout, archive: Path) -> None:
    """Fill the data folder from its part of a backup; may be repeated. Raises `EnvError`."""
    folder = layout.data.resolve()
    inside = layout.data.relative_to(layout.root)
    words = [sys.executable, "-P", "-B", "-m", __name__, str(folder), str(layout.root), str(inside)]
    with archive.open("rb") as packed:
        done = subprocess.run(
            words, stdin=packed, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False,
            env={"PYTHONPATH": str(CODE), "LC_ALL": "C.UTF-8"}, **_writer(folder).options(),
        )  # fmt: skip
    if done.returncode:
        said = done.stderr[-MOST_SAID:].decode(errors="replace").strip()
        raise EnvError(
            f"files of the data folder are missing, {said or f'code {done.returncode}'}",
            fix="correct that, then restore the same backup again: files that are there stay",
        )


def _writer(folder: Path) -> Person:
    """Who works there: tasks, by its group, or else its owner. Raises `EnvError`."""
    found = folder.stat()
    uid = found.st_uid
    try:
        if found.st_gid and found.st_mode & 0o020:
            return Person.named(grp.getgrgid(found.st_gid).gr_name)
        return Person.named(pwd.getpwuid(uid).pw_name)
    except KeyError:
        fix = f"`chown` {folder} to the user of tasks, then restore the same backup again"
        raise EnvError(f"{folder} belongs to the number {uid}, which is no user", fix=fix) from None


def main(folder: str, root: str, inside: str) -> int:
    """Unpack what comes on stdin, as whoever we are by now; what is wrong is said on stderr."""
    filling = Filling(PurePosixPath(inside))
    try:
        with _opened(folder) as place, tarfile.open(fileobj=sys.stdin.buffer) as tar:
            filling.fill(tar, place)
    except (OSError, tarfile.TarError, EOFError) as error:
        print(f"from {root.rstrip('/')}/{filling.at} on: {error}", file=sys.stderr)
        return 1
    if filling.private:
        names = ", ".join(f"{root.rstrip('/')}/{name}" for name in filling.private[:SHOWN])
        print(f"which only root could read: {names}", file=sys.stderr)
    return int(bool(filling.private))


@dataclass
class Filling:
    """Where the work is: `at` the member that is dealt with, `private` those that stay out."""

    top: PurePosixPath
    private: list[str] = field(default_factory=list)
    made: list[tuple[PurePosixPath, tarfile.TarInfo]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.at = self.top

    def fill(self, tar: tarfile.TarFile, folder: int) -> None:
        """Everything that is missing below the open folder."""
        for member in tar:
            self.at = PurePosixPath(member.name)
            if _is_private(member):
                self.private.append(member.name)
            elif _put(tar, member, self.top, folder) and member.isdir():
                self.made.append((self.at.relative_to(self.top), member))
            tar.members = []  # type: ignore[attr-defined]  # a million need memory
        for path, member in reversed(self.made):
            self.at = self.top / path
            _finish(path, member, folder)


def _is_private(member: tarfile.TarInfo) -> bool:
    """Whether only root could read a file, and we are not root: it would become ours."""
    roots = member.isreg() and member.uid == 0 and not member.mode & 0o044
    return roots and os.geteuid() != 0


def _finish(path: PurePosixPath, member: tarfile.TarInfo, folder: int) -> None:
    """Owner, mode and time of a folder that came back, unless somebody has moved it away."""
    try:
        with _walked(path, folder) as made:
            _settle(made, member)
    except OSError as error:
        if error.errno not in (*TRAPS, errno.ENOENT):
            raise


def _put(tar: tarfile.TarFile, member: tarfile.TarInfo, top: PurePosixPath, folder: int) -> bool:
    """Bring one thing back where nothing is in its place; whether it was done."""
    path = PurePosixPath(member.name)
    if not path.is_relative_to(top) or path == top or ".." in path.parts:
        return False
    try:
        with _walked(path.relative_to(top).parent, folder) as place:
            if _there(path.name, place):
                return False
            _make(tar, member, path.name, place, folder, top)
    except OSError as error:
        if error.errno not in TRAPS:
            raise
        return False
    return True


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
    elif member.issym():
        os.symlink(member.linkname, name, dir_fd=place)
        with suppress(PermissionError):
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
    with suppress(PermissionError):  # only root gives files away: others keep what comes back
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


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
