"""Make a backup, check one, remove old ones."""

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlops_server.backup import config as configs
from mlops_server.backup import folder, parts, seal
from mlops_server.backup.config import Config
from mlops_server.errors import EnvError
from mlops_server.layout import Layout

Say = Callable[[str], None]
BRIEF = ("made", "host", "kind", "airflow", "generation", "release", "data", "counts")
"""What the note beside an archive tells of it; nothing of it is secret."""


def create(layout: Layout, kind: str, say: Say) -> Path:
    """Make a backup, prove it, and remove old ones. Raises `EnvError`, and leaves no half one."""
    with folder.locked(layout):
        if kind == "timer" and upgrading(layout):
            raise EnvError("an upgrade is under way", fix="`mlops-install apply` ends it")
        path = make(layout, kind, say)
        prune(layout, say, spared=path.name)
    return path


def upgrading(layout: Layout) -> bool:
    """Whether an upgrade is open."""
    return (layout.root / "var/lib/mlops/upgrade/state.json").exists()


def make(layout: Layout, kind: str, say: Say) -> Path:
    """Make a backup and prove it; the caller holds the lock. Raises `EnvError`."""
    now = datetime.now(UTC)
    config = configs.read(layout)
    folder.tidy(layout, now)
    if (folder.stage(layout) / "switch.json").exists():
        fix = "`mlops-install apply` finishes it, or `mlops-install restore ARCHIVE` takes a backup"
        raise EnvError("a restore was broken off half way", fix=fix)
    while (layout.backups / folder.name(now, kind, config.seal)).exists():
        now += timedelta(seconds=1)
    path = layout.backups / folder.name(now, kind, config.seal)
    fresh = path.with_name(f"{path.name}.new")
    work = folder.work(layout)
    work.mkdir(mode=0o700)
    try:
        manifest = parts.make(layout, work, config, {"kind": kind}, say)
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as target:
            with seal.writer(layout, config, target) as out:
                parts.write(work, out)
            os.fsync(target.fileno())
        shutil.rmtree(work)
        note = _prove(layout, config, fresh, manifest)
        folder.publish(fresh, path, note)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        fresh.unlink(missing_ok=True)
    say(f"{path.name}: {note['size'] >> 10} KiB, {proof(config.seal)}")
    return path


def _prove(layout: Layout, config: Config, fresh: Path, manifest: parts.Manifest) -> dict[str, Any]:
    """Read the finished archive back, unless only an age identity could; its note."""
    if config.seal != "age" and _open(layout, fresh, config.seal) != manifest:
        raise EnvError(
            "the backup on the disk is not what was written",
            fix="check the disk (`dmesg` tells of errors), then make another backup",
        )
    sha256, number = folder.sha256(fresh), folder.next_number(layout)
    return brief(manifest) | {"size": fresh.stat().st_size, "sha256": sha256, "number": number}


def brief(manifest: parts.Manifest) -> dict[str, Any]:
    """What the note beside an archive tells of its manifest."""
    return {key: manifest[key] for key in BRIEF if key in manifest}


def proof(kind: str) -> str:
    """What was seen of an archive, in words."""
    return "written" if kind == "age" else "read back"


def _open(layout: Layout, path: Path, kind: str) -> parts.Manifest:
    secret = layout.backup_passphrase.read_bytes() if kind == "gpg" else b""
    with seal.reader(path, kind, secret) as source:
        return parts.read(source)


def check(layout: Layout, one: folder.Archive) -> str:
    """What is wrong with a backup; empty for nothing."""
    path = layout.backups / one.name
    if not one.good:
        return "its size is not what its note tells" if one.note else "it has no note"
    if folder.sha256(path) != one.note["sha256"]:
        return "it changed since it was made"
    if one.seal == "age" or (one.seal == "gpg" and not layout.backup_passphrase.exists()):
        return ""
    try:
        _open(layout, path, one.seal)
    except EnvError as error:
        return error.message
    return ""


def prune(layout: Layout, say: Say, spared: str = "") -> None:
    """Remove the backups that are more than wanted; never the one that was just made."""
    keep = configs.read(layout).keep
    found = folder.doomed(folder.archives(layout), keep, datetime.now(UTC))
    for one in (one for one in found if one.name != spared):
        folder.remove(layout.backups / one.name)
        say(f"removed {one.name}")
