"""Files of a backup return to their places; doing it twice does no harm.

What is on the server and newer by its nature stays: the history and journal, the release in
force, models in service and their tokens.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from mlops_server import disk
from mlops_server.layout import Layout
from mlops_server.services.records import Records

SERVICES = Path("etc/mlops/services")
TOKENS = Path("etc/mlops/secrets/services")
HISTORY = Path("var/lib/mlops/history.jsonl")


def files(layout: Layout, source: Path) -> None:
    """Put back configuration, secrets and state from an unpacked tree."""
    for path in wanted(layout, source):
        _copy(source / path, layout.root / path)
    _history(source / HISTORY, layout.root / HISTORY)
    link = Path("srv/mlops/workflows/current")  # last: it brings the release into force
    if not _in_force(layout) and (source / link).is_symlink():
        _copy(source / link, layout.root / link)


def wanted(layout: Layout, source: Path) -> Iterator[Path]:
    """The files and links that come back, relative to the source."""
    yield from _configuration(source)
    for path in _below(source, TOKENS):
        if Records(layout).current(path.name) is None:
            yield path
    yield from _below(source, Path("var/lib/mlops/made"))
    if not _in_force(layout):
        yield from _workflows(source)


def _configuration(source: Path) -> Iterator[Path]:
    for path in _below(source, Path("etc/mlops")):
        if SERVICES not in path.parents and TOKENS not in path.parents:
            yield path


def _below(source: Path, top: Path) -> Iterator[Path]:
    """Files and links below a folder, relative to the source, folders made before."""
    for place, _, names in os.walk(source / top):
        for name in sorted(names):
            yield (Path(place) / name).relative_to(source)
        for link in sorted(Path(place).iterdir()):
            if link.is_symlink() and link.is_dir():
                yield link.relative_to(source)


def _in_force(layout: Layout) -> bool:
    """Whether the server has workflows: then Git, or whoever put them there, knows better."""
    current = layout.current_release
    return any(path.is_file() for path in current.glob("dags/*")) or bool(
        next(current.glob("models/*/*"), None)
    )


def _workflows(source: Path) -> Iterator[Path]:
    """The release of the backup and what is known of commits."""
    for top in ("srv/mlops/workflows/releases", "var/lib/mlops/workflows"):
        for path in _below(source, Path(top)):
            if not path.name.startswith(".") or "releases" in path.parts:
                yield path


def _history(old: Path, now: Path) -> None:
    """Who ran when: the backup's lines that are not there, before those that are."""
    if not old.exists():
        return
    present = now.read_text().splitlines() if now.exists() else []
    there = set(present)
    missing = [line for line in old.read_text().splitlines() if line not in there]
    if missing:
        lines = "".join(f"{line}\n" for line in [*missing, *present])
        mode = now.stat().st_mode & 0o777 if now.exists() else 0o644
        disk.write(now, lines.encode(), mode)


def _copy(source: Path, target: Path) -> None:
    """One file or link with owner and mode, by one rename; its folders where they are missing."""
    _folders(source.parent, target.parent)
    if source.is_symlink():
        disk.point(target, os.readlink(source))
        return
    found = source.stat()
    owner = (found.st_uid, found.st_gid)
    with source.open("rb") as old, disk.writing(target, found.st_mode & 0o7777, owner) as new:
        shutil.copyfileobj(old, new)


def _folders(source: Path, target: Path) -> None:
    if not target.exists():
        _folders(source.parent, target.parent)
        target.mkdir()
        _access(source, target)


def _access(source: Path, target: Path) -> None:
    found = source.stat()
    os.chown(target, found.st_uid, found.st_gid)
    target.chmod(found.st_mode & 0o7777)


def services_aside(layout: Layout, stage: Path) -> None:
    """Keep the records of models in service for `rebuild`."""
    found = stage / "files" / SERVICES
    if found.is_dir() and not (stage / "services").exists():
        found.rename(stage / "services")
