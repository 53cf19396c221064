"""Root takes over what somebody else made: first it looks at everything, then it makes it its own.

Nobody writes there any more: the unit is dead, and the folder is in one that only root can enter.
Still nothing is opened by a path, and no link is followed.
"""

import hashlib
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NoReturn

from mlops_server.errors import BadLock

DEPTH = 64
LONGEST = 1000
FILES = 1_000_000
FILE = 16 << 30
TOTAL = 64 << 30
OURS = ".mlops"
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
FIX = "do not use this package; ask for another version, or another channel"


@dataclass
class Tree:
    """What was found so far."""

    bytes: int = 0
    files: int = 0
    _inodes: Counter[tuple[int, int]] = field(default_factory=Counter)
    _links: dict[tuple[int, int], int] = field(default_factory=dict)

    def count(self, name: str, found: os.stat_result) -> None:
        """One more file. Raises `BadLock`."""
        self.files += 1
        self.bytes += found.st_size
        if found.st_size > FILE or self.bytes > TOTAL:
            refuse(name, f"is more than {FILE >> 30} GiB, or all files more than {TOTAL >> 30} GiB")
        if self.files > FILES:
            refuse(name, f"is one of more than {FILES} files")
        if found.st_nlink > 1:
            key = found.st_dev, found.st_ino
            self._inodes[key] += 1
            self._links[key] = found.st_nlink

    def closed(self) -> bool:
        """Whether every other name of a file is in the tree as well."""
        return all(self._inodes[key] == links for key, links in self._links.items())


def refuse(name: str, why: str) -> NoReturn:
    """Raise `BadLock`."""
    raise BadLock(f"the build left {name[:200]!a}, which {why}", fix=FIX)


def take(tree: Path, *, at: Path | None = None) -> Tree:
    """Judge a tree, and make everything in it root's, writable by root only. Raises `BadLock`.

    `at` is where it will be: links must not lead out of it. Without it nobody is to follow links.
    """
    found = Tree()
    with _opened(str(tree)) as top:
        for name, folder, entry in _walk(top, ""):
            _judge(name, os.stat(entry, dir_fd=folder, follow_symlinks=False), found)
            if at and stat.S_ISLNK(os.stat(entry, dir_fd=folder, follow_symlinks=False).st_mode):
                judge_link(name, os.readlink(entry, dir_fd=folder), at)
        if not found.closed():
            refuse(str(tree.name), "has hard links to files outside")
        for _, folder, entry in _walk(top, ""):
            _own(entry, folder)
        _give(top, 0o755)
    return found


class _opened:  # noqa: N801 - used as a word
    """A folder by its descriptor; not one that a link leads to."""

    def __init__(self, name: str, folder: int | None = None) -> None:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        self.descriptor = os.open(name, flags, dir_fd=folder)

    def __enter__(self) -> int:
        return self.descriptor

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)


def _walk(folder: int, above: str, depth: int = 1) -> Iterator[tuple[str, int, str]]:
    """Name in the tree, folder and entry of everything below a folder, folders first."""
    with os.scandir(folder) as entries:
        names = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for entry, is_folder in names:
        name = f"{above}{entry}"
        yield name, folder, entry
        if is_folder:
            if depth > DEPTH:
                refuse(name, f"is more than {DEPTH} folders deep")
            with _opened(entry, folder) as inner:
                yield from _walk(inner, f"{name}/", depth + 1)


def _judge(name: str, found: os.stat_result, tree: Tree) -> None:
    if CONTROL.search(name):
        refuse(name, "has a control character in its name")
    if len(os.fsencode(name)) > LONGEST:
        refuse(name, "has too long a name")
    if name.partition("/")[0].startswith(OURS):
        refuse(name, "is a name of ours")
    kind = stat.S_IFMT(found.st_mode)
    if kind not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
        refuse(name, "is neither file nor folder nor link")
    tree.count(name, found) if kind == stat.S_IFREG else None


def judge_link(name: str, target: str, at: Path) -> None:
    """Refuse a link that leads out of the tree, by its words alone. Raises `BadLock`."""
    if target.startswith("/"):
        inner = os.path.normpath(target)
        if inner != str(at) and not inner.startswith(f"{at}/"):
            refuse(name, f"is a link to {target[:200]!a}")
    elif not inward(f"{PurePosixPath(name).parent}/{target}"):
        refuse(name, f"is a link to {target[:200]!a}")


def inward(name: str) -> bool:
    """Whether a relative path stays where it begins, at each of its steps."""
    depth = 0
    for part in name.split("/"):
        depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
        if depth < 0:
            return False
    return not name.startswith("/")


def _own(entry: str, folder: int) -> None:
    found = os.stat(entry, dir_fd=folder, follow_symlinks=False)
    if stat.S_ISLNK(found.st_mode):
        if os.geteuid() == 0:
            os.chown(entry, 0, 0, dir_fd=folder, follow_symlinks=False)
        return
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(entry, flags, dir_fd=folder)
    try:
        run = 0o111 if stat.S_ISDIR(found.st_mode) or found.st_mode & 0o100 else 0
        _give(descriptor, 0o644 | run)
    finally:
        os.close(descriptor)


def _give(descriptor: int, mode: int) -> None:
    """Owner, mode, and no list of rights beside them."""
    found = os.fstat(descriptor)
    if os.geteuid() == 0 and (found.st_uid or found.st_gid):
        os.fchown(descriptor, 0, 0)
    for name in os.listxattr(descriptor):
        if not name.startswith("security."):
            os.removexattr(descriptor, name)
    if stat.S_IMODE(found.st_mode) != mode or found.st_uid:
        os.fchmod(descriptor, mode)


def take_file(path: Path, sha256: str, target: Path) -> None:
    """Make a file root's and move it, when its content is the one that is wanted.

    Raises `BadLock`.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            refuse(path.name, "is no file of its own")
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            refuse(path.name, "is a hash mismatch")
        _give(descriptor, 0o644)
        path.replace(target)
