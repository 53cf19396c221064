"""The folder of backups: names, the note beside each, which of them go, the lock.

<UTC time>-<kind>.tar[.age|.gpg]      an archive; under this name only when it was proved
<the same>.json                       its note: size, digest, what is in it
.work, .restore, *.new                of a command that runs, or that was killed
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlops_server import jsontext
from mlops_server.disk import sync, write
from mlops_server.errors import EnvError
from mlops_server.layout import Layout
from mlops_server.store import held

KINDS = ("manual", "timer", "restore", "uploaded")
REGULAR = ("manual", "timer")
NAME = re.compile(rf"(\d{{8}}T\d{{6}}Z)-({'|'.join(KINDS)})\.tar(?:\.(age|gpg))?")
TIME = "%Y%m%dT%H%M%SZ"
SPARED = timedelta(days=7)
"""How long those stay that were made before a restore, or brought here."""
FORGOTTEN = timedelta(hours=1)
"""When what was unpacked and never restored goes."""
BLOCK = 1 << 20


@dataclass(frozen=True)
class Archive:
    """One backup. `seal`: age, gpg or empty; `good`: it has a note, and the size that it tells.

    `order` grows with each that is made here or brought here, whatever the clock says; those
    without a number are older than those with one.
    """

    name: str
    made: datetime
    kind: str
    seal: str
    size: int
    good: bool
    note: dict[str, Any]

    @property
    def order(self) -> tuple[int, str]:
        """What the backups are sorted by."""
        number = self.note.get("number")
        return (number if isinstance(number, int) else 0, self.name)

    @property
    def state(self) -> str:
        """`good`, `damaged`, or `not opened`: brought here encrypted, so nobody has seen inside."""
        if not self.good:
            return "damaged"
        return "not opened" if "uploaded" in self.note and "made" not in self.note else "good"


def name(made: datetime, kind: str, seal: str) -> str:
    """The name of an archive."""
    return f"{made.astimezone(UTC):{TIME}}-{kind}.tar{'.' if seal else ''}{seal}"


def archives(layout: Layout) -> list[Archive]:
    """Every backup, the newest first."""
    found = layout.backups.iterdir() if layout.backups.is_dir() else ()
    read = [_read(path, match) for path in found if (match := NAME.fullmatch(path.name))]
    return sorted(read, key=lambda one: one.order, reverse=True)


def next_number(layout: Layout) -> int:
    """The number of the next backup."""
    return max((one.order[0] for one in archives(layout)), default=0) + 1


def _read(path: Path, match: re.Match[str]) -> Archive:
    made = datetime.strptime(match[1], TIME).replace(tzinfo=UTC)
    size = path.stat().st_size
    try:
        note = jsontext.loads(note_path(path).read_bytes())
    except (OSError, ValueError):
        note = {}
    note = note if isinstance(note, dict) else {}
    good = note.get("size") == size
    return Archive(path.name, made, match[2], match[3] or "", size, good, note)


def note_path(archive: Path) -> Path:
    """The note beside an archive."""
    return archive.with_name(f"{archive.name}.json")


def find(layout: Layout, wanted: str) -> Path:
    """The archive of this name, or `latest`. Raises `EnvError`.

    The latest is not one that a restore made: the same restore, run again, would undo itself.
    """
    found = archives(layout)
    names = [one.name for one in found]
    own = [one.name for one in found if one.good and one.kind in REGULAR]
    if wanted == "latest" and own:
        return layout.backups / own[0]
    if wanted in names:
        return layout.backups / wanted
    known = "; there are none yet" if not names else f"; the newest is {names[0]}"
    raise EnvError(f"there is no backup {wanted}{known}", fix="`mlops backup list` shows them")


def doomed(found: Sequence[Archive], keep: int, now: datetime) -> list[Archive]:
    """Those that go: all but the `keep` newest good ones, and but young ones of other kinds.

    The newest good one never goes.
    """
    newest = sorted(found, key=lambda one: one.order, reverse=True)
    good = [one for one in newest if one.state == "good"]
    kept = [one for one in good if one.kind in REGULAR][:keep]
    oldest = kept[-1] if len(kept) == keep else None
    return [
        one
        for one in newest
        if one not in good[:1]
        and (_older(one, oldest) if one.kind in REGULAR else now - one.made > SPARED)
    ]


def _older(one: Archive, other: Archive | None) -> bool:
    """By number; by name where one has none, such as what somebody copied here."""
    if other is None:
        return False
    if one.order[0] and other.order[0]:
        return one.order < other.order
    return one.name < other.name


def remove(path: Path) -> None:
    """Remove an archive, then its note."""
    path.unlink(missing_ok=True)
    note_path(path).unlink(missing_ok=True)


def learn(path: Path, about: dict[str, Any]) -> None:
    """Add what was found in an archive to its note, where the note does not have it yet."""
    place = note_path(path)
    try:
        note = jsontext.loads(place.read_bytes())
    except (OSError, ValueError):
        return
    if isinstance(note, dict) and not about.keys() <= note.keys():
        _note(place, note | about)


def _note(place: Path, note: dict[str, Any]) -> None:
    write(place, (json.dumps(note) + "\n").encode())


def publish(fresh: Path, path: Path, note: dict[str, Any]) -> None:
    """Give a finished archive its name. It and its note are on the disk when this returns."""
    _note(note_path(path), note)
    sync(fresh)
    fresh.rename(path)
    sync(path.parent)


def sha256(path: Path) -> str:
    """The digest of a file, in hex."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            sha.update(block)
    return sha.hexdigest()


@contextmanager
def locked(layout: Layout) -> Iterator[None]:
    """One command at a time that makes or brings back. Raises `EnvError`."""
    layout.backups.mkdir(mode=0o700, parents=True, exist_ok=True)
    with held(layout.backups / ".lock", wait=False) as mine:
        if not mine:
            raise EnvError("another backup or restore is at work", fix="try again when it is done")
        yield


def tidy(layout: Layout, now: datetime) -> None:
    """Remove what killed commands left: half archives, parts in plain text, notes of nothing."""
    shutil.rmtree(work(layout), ignore_errors=True)
    unpacked = stage(layout)
    begun = (unpacked / "switch.json").exists()
    if unpacked.is_dir() and not begun and _age(unpacked, now) > FORGOTTEN:
        shutil.rmtree(unpacked)
    for path in layout.backups.glob("*.new"):
        # An upload takes no lock.
        if "-uploaded." not in path.name or _age(path, now) > FORGOTTEN:
            path.unlink()
    for path in layout.backups.glob("*.json"):
        if not path.with_suffix("").exists():
            path.unlink()


def _age(path: Path, now: datetime) -> timedelta:
    """Since the last change; a file of the future is as far from now, or it would stay for ever."""
    return abs(now - datetime.fromtimestamp(path.stat().st_mtime, UTC))


def work(layout: Layout) -> Path:
    """Where the parts of an archive are made."""
    return layout.backups / ".work"


def stage(layout: Layout) -> Path:
    """Where the parts of an archive wait for their restore."""
    return layout.backups / ".restore"
