"""The files that an upgrade may change, as one archive, and how they are put back."""

import os
import re
import tarfile
from collections.abc import Iterator
from glob import glob
from pathlib import Path

from mlops_server import disk, journal
from mlops_server.layout import Layout

SAVED = (
    "etc/mlops", "etc/nginx", "etc/systemd/system/airflow*", "etc/systemd/system/mlops*",
    "etc/systemd/system/nginx.service.d", "etc/systemd/system/*.wants/airflow*",
    "etc/systemd/system/*.wants/mlops*", "opt/mlops/bin", "opt/mlops/dags", "opt/mlops/lib",
    "opt/mlops/airflow/current", "opt/mlops/envs/*/current", "srv/mlops/workflows/current",
    "usr/local/bin/airflow", "usr/local/bin/mlops", "var/lib/mlops/answered",
)  # fmt: skip
ANSWERED = "var/lib/mlops/answered"
LEFT = re.compile(
    r"etc/mlops/(secrets|locks|services)(/|$)|opt/mlops/lib/python/(?!current$)"
    r"|etc/systemd/system/[^/]+\.wants/mlops-model@|.*/__pycache__(/|$)"
)
"""Secrets never change; locks, services and code are generations, and others make them too."""
NEWER = re.compile(
    r"srv/mlops/workflows/|opt/mlops/envs/|etc/mlops/(tls/|(connections|variables)\.json$)"
)
"""What lives on after an upgrade, and a later rollback of Airflow leaves as it is."""


def paths(layout: Layout) -> Iterator[str]:
    """Regular files and links that belong to the archive, relative to the root, sorted.

    Only what the journal names: what else is in such folders is somebody else's, and is neither
    saved nor removed.
    """
    ours, found = journal.read(layout), set[str]()
    for pattern in SAVED:
        for name in glob(pattern, root_dir=layout.root):
            found |= {str(p.relative_to(layout.root)) for p in _below(layout.root / name)}
    return iter(sorted(name for name in found if _belongs(ours, name)))


def _belongs(ours: journal.Ours, name: str) -> bool:
    return name == ANSWERED or (not LEFT.match(name) and ours.has(f"/{name}"))


def _below(path: Path) -> Iterator[Path]:
    if path.is_symlink() or path.is_file():
        yield path
    elif path.is_dir():
        for child in path.iterdir():
            yield from _below(child)


def save(layout: Layout, archive: Path) -> int:
    """Write the archive, for root only; its size in bytes. It is on the disk afterwards."""
    with disk.writing(archive) as file, tarfile.open(fileobj=file, mode="w") as tar:
        for name in paths(layout):
            tar.add(layout.root / name, name, recursive=False)
    return archive.stat().st_size


def restore(layout: Layout, archive: Path, *, later: bool = False) -> list[str]:
    """Put ours back and remove what we made since; the names of what changed.

    `later`: when the upgrade had gone well, so that NEWER is spared. May be broken off and
    repeated.
    """
    changed, root, ours = [], layout.root, journal.read(layout)
    with tarfile.open(archive) as tar:
        # Archives of earlier installers hold files of others too.
        found = [m for m in tar.getmembers() if not (later and NEWER.match(m.name))]
        members = {member.name: member for member in found if _belongs(ours, member.name)}
        for name in paths(layout):
            if name not in members and not (later and NEWER.match(name)):
                (root / name).unlink()
                changed.append(name)
        for name, member in members.items():
            source = tar.extractfile(member) if member.isfile() else None
            data = source.read() if source else None
            if not _same(root / name, member, data):
                _put(root / name, member, data)
                changed.append(name)
    os.sync()
    return changed


def _same(path: Path, member: tarfile.TarInfo, data: bytes | None) -> bool:
    if data is None:
        return path.is_symlink() and os.readlink(path) == member.linkname
    if path.is_symlink() or not path.is_file():
        return False
    now = path.stat()
    access = (now.st_mode & 0o7777, now.st_uid, now.st_gid)
    return access == (member.mode, member.uid, member.gid) and path.read_bytes() == data


def _put(path: Path, member: tarfile.TarInfo, data: bytes | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if data is None:
        disk.point(path, member.linkname)
        return
    disk.write(path, data, member.mode, (member.uid, member.gid))
    os.utime(path, (member.mtime, member.mtime))
