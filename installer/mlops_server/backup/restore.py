"""Bring a backup back. Everything is made aside and compared; then one short switch.

unpack    the archive, decrypted and read to its end        services run
restore   dumps into databases beside, compared             services run
          services stop, the present state becomes a backup
          every file's place is rehearsed
          switch.json is written: from here on it only goes forward
          files put back, databases renamed in one transaction
          missing files of the data folder come back, as far as they can
rebuild   environments and models in service
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlops_server import database, disk, jsontext, rights
from mlops_server.backup import archive, data, folder, parts, putback, seal, units
from mlops_server.backup.rehearsal import rehearse
from mlops_server.errors import EnvError
from mlops_server.layout import Layout

Say = Callable[[str], None]
DRAIN = 60
MISSING = "data.missing"
"""In the stage: what kept files of the data folder away, for `rebuild` to count."""


def unpack(layout: Layout, name: str, secret: bytes, say: Say) -> parts.Manifest:
    """Read an archive, decrypted, into the stage; its manifest. Raises `EnvError`."""
    path = folder.find(layout, name)
    kind = path.suffix.removeprefix(".") if path.suffix != ".tar" else ""
    if kind == "gpg" and not secret and layout.backup_passphrase.exists():
        secret = layout.backup_passphrase.read_bytes()
    with folder.locked(layout):
        resume(layout, say)
        _forget(layout)
        stage = folder.stage(layout)
        stage.mkdir(mode=0o700)
        try:
            with seal.reader(path, kind, secret) as source:
                manifest = parts.read(source, stage)
            folder.learn(path, archive.brief(manifest))
            return manifest
        except BaseException:
            discard(layout)
            raise


def _forget(layout: Layout) -> None:
    """Remove what an earlier restore left before its switch."""
    discard(layout)
    for name in parts.DATABASES:
        database.drop(_aside(name))


def discard(layout: Layout) -> None:
    """Remove what was unpacked."""
    shutil.rmtree(folder.stage(layout), ignore_errors=True)


def restore(layout: Layout, say: Say, *, save: bool = True, drain: int = DRAIN) -> None:
    """Bring back what is unpacked. Raises `EnvError`; before the switch nothing is changed."""
    if archive.upgrading(layout):
        raise EnvError("an upgrade is under way", fix="`mlops-install apply` ends it")
    with folder.locked(layout):
        if resume(layout, say):
            return
        stage = folder.stage(layout)
        manifest = _unpacked(stage)
        running: list[str] = []
        try:
            _load(stage, manifest, say)
            _extract(stage / parts.FILES, stage / "files")
            rehearse(layout, stage / "files")
            running = units.running()
            say("stopping Airflow")
            units.stop(drain, say)
            if save and database.exists(database.NAME):
                os.utime(stage)  # or it counts as forgotten
                say("the present state becomes a backup")
                archive.make(layout, "restore", say)
                rehearse(layout, stage / "files")  # that backup took room
        except BaseException:
            try:
                units.start(running)
            finally:
                _forget(layout)
            raise
        os.sync()  # what the switch puts back is on the disk before it is ordered
        _write(stage / "switch.json", {"units": running})
        resume(layout, say)


def _unpacked(stage: Path) -> parts.Manifest:
    try:
        found: parts.Manifest = jsontext.loads((stage / parts.MANIFEST).read_bytes())
    except FileNotFoundError:
        raise EnvError("nothing is unpacked", fix="`mlops backup unpack NAME` first") from None
    except ValueError:
        raise EnvError(
            f"{stage / parts.MANIFEST} is damaged", fix=f"remove {stage}, and restore again"
        ) from None
    return found


def _aside(name: str) -> str:
    return f"{name}_restored"


def _before(name: str) -> str:
    return f"{name}_replaced"


def _load(stage: Path, manifest: parts.Manifest, say: Say) -> None:
    """Dumps become databases beside the present ones; the dumps go."""
    for name, wanted in manifest["databases"].items():
        dump = stage / f"{name}.dump"
        if dump.exists():
            database.drop(_aside(name))
            parts.compare(dump, _aside(name), name, wanted)
            _give(name, manifest, say)
            dump.unlink()
            say(f"database {name}: loaded aside, as it was when the backup was made")
        elif not database.exists(_aside(name)):
            raise EnvError("what was unpacked is not whole", fix="`mlops backup unpack NAME` again")


def _give(name: str, manifest: parts.Manifest, say: Say) -> None:
    """Rights and settings as in the backup; those of the present one where it has none of them."""
    there = manifest.get("rights", {}).get(name)
    for role in rights.give(_aside(name), rights.read(name) if there is None else there):
        say(f"database {name}: there is no role {role}, which had rights or settings in it")


def _extract(source: Path, target: Path) -> None:
    target.mkdir(mode=0o700, exist_ok=True)
    words = ["tar", "--extract", "--gzip", "--same-permissions", "--same-owner"]
    words += ["--directory", str(target), "--file", str(source)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EnvError(
            f"{source.name} cannot be unpacked",
            detail=done.stderr,
            fix=f"make room at {target.parent}, then restore again",
        )


def resume(layout: Layout, say: Say) -> bool:
    """Finish the switch that was begun, if one was; whether one was. Raises `EnvError`."""
    stage = folder.stage(layout)
    order = stage / "switch.json"
    if not order.exists():
        return False
    manifest = _unpacked(stage)
    found: dict[str, Any] = jsontext.loads(order.read_bytes())
    if units.running():  # the machine started anew meanwhile
        units.stop(DRAIN, say)
    try:
        _switch(layout, stage, manifest)
    except OSError as error:
        raise EnvError(
            f"the restore is half way, and Airflow is down: {error.filename}: {error.strerror}",
            fix="correct that, then `mlops backup resume` goes on",
        ) from error
    if manifest["data"]:
        _data(layout, stage, say)
    os.sync()
    order.unlink()
    disk.sync(stage)
    shutil.rmtree(stage / "files")
    for path in (stage / parts.MANIFEST, *stage.glob("*.tar.gz")):
        path.unlink()
    say(f"the state of {manifest['made']} is back")
    _start(layout, manifest, found["units"], say)
    units.reload_proxy()
    return True


def _switch(layout: Layout, stage: Path, manifest: parts.Manifest) -> None:
    putback.files(layout, stage / "files")
    _swap(list(manifest["databases"]))
    putback.services_aside(layout, stage)
    for name in manifest["databases"]:
        database.drop(_before(name))


def _data(layout: Layout, stage: Path, say: Say) -> None:
    """Not part of the switch: a data folder that is full or odd keeps nothing down."""
    try:
        data.restore(layout, stage / parts.DATA)
    except EnvError as error:
        say(f"{error.message}; {error.fix}")
        disk.write(stage / MISSING, error.message.encode())


def _swap(names: list[str]) -> None:
    """The databases that were loaded take their places, all at once."""
    ready = [name for name in names if database.exists(_aside(name))]
    for name in ready:
        database.drop(_before(name))
    there = [(name, _before(name)) for name in ready if database.exists(name)]
    if ready:
        database.swap(*there, *((_aside(name), name) for name in ready))


def _start(layout: Layout, manifest: parts.Manifest, names: list[str], say: Say) -> None:
    """Only if this Airflow knows the schema; else `apply` migrates first."""
    if manifest["airflow"] == parts.server(layout)["airflow"]:
        units.start(names)
        say("Airflow is started")
    else:
        say(f"Airflow stays down: the backup is of {manifest['airflow']}; `mlops-install apply`")


def _write(path: Path, value: dict[str, Any]) -> None:
    about = value | {"at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}
    disk.write(path, json.dumps(about).encode())
