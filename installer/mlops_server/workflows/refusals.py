"""What a commit is refused for, before a byte of it is written, and the errors of this package."""

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mlops_server import output
from mlops_server.errors import EnvError
from mlops_server.layout import METADATA

MAX_FILES = 20_000
MAX_NAME = 255
MAX_PATH = 1000
MIB = 1024 * 1024
_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\\\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_HOPS = 40


class Rejected(EnvError):  # noqa: N818 - reads as what happened
    """A commit that stays out. The reason is one line, and the last one that is said."""

    code = 3

    def __init__(self, reason: str, *, detail: str = "") -> None:
        super().__init__(reason, detail=detail)
        self.commit = ""

    def __str__(self) -> str:
        which = f"commit {self.commit[:12]}" if self.commit else "the commit"
        return "\n".join([*self.detail.splitlines(), f"mlops: {which} is rejected: {self.message}"])


class TryAgain(EnvError):  # noqa: N818 - reads as what to do
    """The network, or somebody else at work: no judgement on anything."""

    code = 75


@dataclass(frozen=True)
class Entry:
    """A file or link of a commit; `path` as Git has it, `target` of links only."""

    path: str
    oid: str
    size: int
    executable: bool = False
    link: bool = False
    target: str = ""


def shown(text: str) -> str:
    """A text from outside, safe in a line of a log."""
    return output.shown(text)[:300]


def path(raw: bytes) -> str:
    """A path as text. Raises `Rejected` for what cannot be, or had better not be, a file's name."""
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        raise Rejected(f"the file name {raw!r} is not UTF-8") from None
    if _ODD.search(name):
        raise Rejected(f"the file name {name!a} has a control character or a backslash")
    for part in name.split("/"):
        if part.lower() == ".git" or part in ("", ".", ".."):
            raise Rejected(f"the path {shown(name)!r} has a part {part!r}")
        if len(part.encode()) > MAX_NAME:
            raise Rejected(f"the file name {shown(part)[:60]}... is too long")
    if len(raw) > MAX_PATH:
        raise Rejected(f"the path {shown(name)[:60]}... is too long")
    if name == METADATA or name.startswith(f"{METADATA}/"):
        raise Rejected(f"{METADATA} is a name that the server keeps for itself")
    return name


def sizes(entries: Iterable[Entry], max_file_mb: int, max_release_mb: int) -> None:
    """Raise `Rejected` when a file, or all of them, is too big, or when they are too many."""
    total = 0
    fix = "keep data in /srv/mlops/data or in a database"
    for count, entry in enumerate(entries, start=1):
        total += entry.size
        if entry.size > max_file_mb * MIB:
            size = f"{entry.size / MIB:.1f} MiB"
            raise Rejected(f"{entry.path} has {size}, and max_file_mb is {max_file_mb}: {fix}")
        if total > max_release_mb * MIB:
            raise Rejected(
                f"the files are more than {max_release_mb} MiB, which is max_release_mb"
                f" ({entry.path} is the one over it): {fix}"
            )
        if count > MAX_FILES:
            raise Rejected(f"there are more than {MAX_FILES} files: {fix}")


def tree(entries: Mapping[str, Entry]) -> None:
    """Raise `Rejected` for links that lead out or nowhere, and for a missing dags/."""
    folders = {""}
    for name in entries:
        while name := posixpath.dirname(name):
            folders.add(name)
    for entry in entries.values():
        if entry.link:
            _resolve(entry.path, entries, folders)
    if "dags" not in folders and not ("dags" in entries and entries["dags"].link):
        raise Rejected("there is no folder dags/")
    if _resolve("dags", entries, folders) not in folders:
        raise Rejected("dags is not a folder")
    _walk(entries, folders)


def _resolve(name: str, entries: Mapping[str, Entry], folders: set[str]) -> str:
    """Where a path of the release leads, by names alone."""
    todo, done, hops = name.split("/")[::-1], "", 0
    while todo:
        part = todo.pop()
        if part == "..":
            if not done:
                raise Rejected(f"the link {name} leads out of the repository")
            done = posixpath.dirname(done)
        elif part not in ("", "."):
            done = posixpath.join(done, part)
        entry = entries.get(done)
        if entry and entry.link:
            hops += 1
            if entry.target.startswith("/"):
                raise Rejected(f"the link {entry.path} is absolute: it leads to {entry.target}")
            if hops > _HOPS:
                raise Rejected(f"the link {name} leads to itself")
            done = posixpath.dirname(done)
            todo += entry.target.split("/")[::-1]
        elif done not in folders and (not entry or todo):
            raise Rejected(f"the link {name} leads nowhere")
    return done


def _walk(entries: Mapping[str, Entry], folders: set[str]) -> None:
    """Airflow follows links below dags/, and gives up altogether on a folder that it meets twice.

    So such a link must not get in.
    """
    below: dict[str, list[str]] = {}
    for name in folders - {""}:
        below.setdefault(posixpath.dirname(name), []).append(name)
    for entry in entries.values():
        if entry.link:
            below.setdefault(posixpath.dirname(entry.path), []).append(entry.path)
    met: set[str] = set()
    todo = ["dags"]
    while todo:
        name = todo.pop()
        real = _resolve(name, entries, folders)
        if real not in folders:
            continue
        if real in met or real == "":
            raise Rejected(f"the link {name} makes Airflow see the folder {real or '.'}/ twice")
        met.add(real)
        todo += sorted(below.get(real, ()), key=lambda n: n in entries)[::-1]
