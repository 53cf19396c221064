"""What a backup consists of: made in a folder, streamed as one tar, read back."""

import hashlib
import io
import json
import os
import re
import socket
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from mlops_server import database, jsontext, rights
from mlops_server.backup import folder
from mlops_server.backup.config import Config
from mlops_server.errors import EnvError
from mlops_server.layout import Layout
from mlops_server.services import records

Say = Callable[[str], None]
FORMAT = 1
MANIFEST = "manifest.json"
FILES = "files.tar.gz"
DATA = "data.tar.gz"
DATABASES = ("airflow", "workflows")
FORMER = "mlops_backup_proof"
"""The scratch database of earlier installers."""
STATE = ("made", "workflows", "history.jsonl", "journal.jsonl", "server_name")
COUNTED = {
    "DAG runs": "dag_run",
    "task instances": "task_instance",
    "users": "ab_user",
    "connections": "connection",
    "variables": "variable",
}
MARGIN = 64 << 20
MANIFEST_MOST = 64 << 20
"""Bytes of a manifest, which is read into memory; one of 1,000 tables has 0.2 MB."""
KINDS: dict[str, type] = {
    "made": str, "host": str, "airflow": str, "heads": dict, "data": bool, "databases": dict,
    "counts": dict, "parts": dict,
}  # fmt: skip

Manifest = dict[str, Any]
"""format, made, host, kind, airflow, generation, heads, release, services, data, and
databases: name -> fingerprint; rights: name -> rights and settings; parts: name -> size, sha256;
counts: what -> number."""


def make(layout: Layout, work: Path, config: Config, about: Manifest, say: Say) -> Manifest:
    """Make the parts and prove the dumps; the manifest, which is written too. Raises `EnvError`."""
    names = [name for name in DATABASES if database.exists(name)]
    room(layout, names, config)
    _tar(layout.root, work / FILES, files(layout))
    if config.data and layout.data.is_dir():
        _tar(layout.root, work / DATA, [str(layout.data.relative_to(layout.root))])
    prints: dict[str, database.Fingerprint] = {}
    heads: dict[str, str] = {}
    for name in names:
        prints[name] = database.dump(work / f"{name}.dump", name)
        heads |= prove(work / f"{name}.dump", name, prints[name])
    say(f"dumped, loaded into a scratch database and compared: {', '.join(names)}")
    found = sorted(path for path in work.iterdir() if path.name != MANIFEST)
    manifest = about | server(layout) | {
        "format": FORMAT,
        "made": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "heads": heads,
        "data": (work / DATA).exists(),
        "databases": prints,
        "rights": {name: rights.read(name) for name in names},
        "counts": counts(prints.get("airflow", {})),
        "parts": {p.name: {"size": p.stat().st_size, "sha256": folder.sha256(p)} for p in found},
    }  # fmt: skip
    (work / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
    return manifest


def server(layout: Layout) -> Manifest:
    """What this server is: host, Airflow's version and generation, release, services."""
    current = layout.root / "opt/mlops/airflow/current"
    try:
        lock = (current / "requirements.txt").read_text()
    except OSError:
        lock = ""
    version = re.search(r"^apache-airflow==(\S+)", lock, re.M)
    return {
        "host": socket.gethostname(),
        "airflow": version[1] if version else "",
        "generation": current.resolve().name,
        "release": layout.current_release.resolve().name,
        "services": records.Records(layout).names(),
    }


def counts(fingerprint: database.Fingerprint) -> dict[str, int]:
    """Rows that mean something to people."""
    found = {what: fingerprint.get(f"public.{table}", "") for what, table in COUNTED.items()}
    return {what: int(row.partition("|")[0]) for what, row in found.items() if row}


def files(layout: Layout) -> list[str]:
    """What `apply` could not make again: relative paths that are there."""
    release = layout.current_release.resolve()
    kept = {release, *records.releases(layout)}
    releases = sorted(path for path in kept if path.parent == layout.releases.resolve())
    wanted = [
        layout.root / "etc/mlops",
        *(layout.root / "var/lib/mlops" / name for name in STATE),
        layout.current_release,
        *releases,
    ]
    root = layout.root.resolve()
    found = (p.parent.resolve() / p.name for p in wanted if os.path.lexists(p))
    return [str(path.relative_to(root)) for path in found]


def room(layout: Layout, names: list[str], config: Config) -> None:
    """Whether there is room: the parts and the archive here, a copy in PostgreSQL's folder."""
    sizes = [database.size(name) for name in names]
    data = 2 * _weight(layout.data) if config.data else 0
    here = sum(sizes) + MARGIN + data
    postgres = layout.root / "var/lib/postgresql"
    needs = {layout.backups: here, postgres: max(sizes, default=0) + MARGIN}
    if layout.backups.stat().st_dev == postgres.stat().st_dev:
        needs = {layout.backups: sum(needs.values())}
    for path, need in needs.items():
        at = os.statvfs(path)
        if (free := at.f_bavail * at.f_frsize) < need:
            words = f"{free >> 20} MiB are free at {path}, a backup may need {need >> 20}"
            more = f", {data >> 20} of them for {layout.data}" if data else ""
            less = ", or set data = false in [backup]" if data else ""
            fix = f"make room there, or keep fewer backups{less}"
            raise EnvError(f"{words}{more}", fix=fix)


def _weight(path: Path) -> int:
    """Bytes on the disk: holes of sparse files, which may be terabytes, take no room in a tar."""
    words = ["du", "--summarize", "--block-size=1", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return int(done.stdout.split()[0]) if done.stdout else 0


def _tar(root: Path, target: Path, paths: list[str]) -> None:
    words = ["tar", "--create", "--gzip", "--sparse", "--directory", str(root),
             "--exclude=made/postgres-half-made", "--file", str(target), "--", *paths]  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):  # 1: a file changed or went while it was read
        raise EnvError(
            f"cannot write {target.name}", detail=done.stderr, fix=f"make room at {target.parent}"
        )


def prove(dump: Path, what: str, wanted: database.Fingerprint) -> dict[str, str]:
    """Load a dump into a scratch database and compare; its schema heads. Raises `EnvError`."""
    scratch = f"{what}_proof"
    database.drop(scratch, FORMER)
    try:
        compare(dump, scratch, what, wanted)
        return database.heads(scratch)
    finally:
        database.drop(scratch)


def compare(dump: Path, scratch: str, what: str, wanted: database.Fingerprint) -> None:
    """Load a dump into a new database and compare. Raises `EnvError`."""
    database.load(dump, scratch)
    different = database.differences(wanted, database.fingerprint(scratch))
    if different:
        raise EnvError(
            f"the dump of {what} does not give back the same state: {', '.join(different[:5])}",
            fix="make a new backup; if that fails too, look at PostgreSQL's log",
        )


# --- the archive --------------------------------------------------------------------------


def write(work: Path, out: IO[bytes]) -> None:
    """The parts as one tar, the manifest first."""
    names = [MANIFEST, *jsontext.loads((work / MANIFEST).read_bytes())["parts"]]
    with tarfile.open(fileobj=out, mode="w|") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size, info.mode = (work / name).stat().st_size, 0o600
            with (work / name).open("rb") as file:
                tar.addfile(info, file)


def read(source: IO[bytes], into: Path | None = None) -> Manifest:
    """Read an archive to its end and compare it with its manifest, which is returned.

    The parts are written to `into`, when it is given. Raises `EnvError`.
    """
    manifest: Manifest = {}
    found = {}
    try:
        with tarfile.open(fileobj=source, mode="r|") as tar:
            for name, file in _members(tar):
                if not manifest:
                    manifest = _manifest(name, file.read(MANIFEST_MOST))
                    file = io.BytesIO(json.dumps(manifest).encode())
                    _copy(file, into and into / name)
                else:
                    found[name] = _copy(file, into and into / name)
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
        raise EnvError(
            f"the backup is damaged: {error}", fix="`mlops backup list` shows the others"
        ) from error
    if not manifest or found != manifest["parts"]:
        raise EnvError(
            "the backup is damaged: parts are missing or wrong",
            fix="`mlops backup list` shows the others",
        )
    return manifest


def _members(tar: tarfile.TarFile) -> Iterator[tuple[str, IO[bytes]]]:
    known = {MANIFEST, FILES, DATA, *(f"{name}.dump" for name in DATABASES)}
    for member in tar:
        file = tar.extractfile(member) if member.isreg() and member.name in known else None
        if file is None:
            raise EnvError(
                f"the archive has {member.name!r}, which no backup has",
                fix="name a file that `backup` made",
            )
        yield member.name, file


def _manifest(name: str, text: bytes) -> Manifest:
    try:
        found = jsontext.loads(text) if name == MANIFEST else {}
    except ValueError:
        found = {}
    if not isinstance(found, dict) or not isinstance(found.get("parts"), dict):
        raise EnvError(
            "this is not a backup of mlops-install: it has no manifest",
            fix="name a file that `backup` made",
        )
    if found.get("format") != FORMAT:
        words = f"the backup has format {found.get('format')}, this version knows {FORMAT}"
        raise EnvError(words, fix="use the mlops-install that made it, or a newer one")
    wrong = [key for key, kind in KINDS.items() if not isinstance(found.get(key), kind)]
    try:
        datetime.fromisoformat(str(found.get("made")))
    except ValueError:
        wrong.append("made")
    if wrong:
        words = f"the backup is damaged: its manifest has no {wrong[0]}"
        raise EnvError(words, fix="`mlops backup list` shows the others")
    return found


def _copy(source: IO[bytes], path: Path | None) -> dict[str, Any]:
    sha, size = hashlib.sha256(), 0
    target = os.open(path or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(target, "wb") as out:
        while block := source.read(folder.BLOCK):
            sha.update(block)
            size += len(block)
            out.write(block)
    return {"size": size, "sha256": sha.hexdigest()}
