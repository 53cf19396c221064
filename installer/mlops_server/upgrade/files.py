"""The files that an upgrade may change, as one archive, and how they are put back."""

import io
import os
import re
import shutil
import tarfile
from collections.abc import Iterator
from glob import glob
from pathlib import Path

from mlops_server import disk

SAVED = (
    "etc/mlops", "etc/nginx", "etc/systemd/system/airflow*", "etc/systemd/system/mlops*",
    "etc/systemd/system/nginx.service.d", "etc/systemd/system/*.wants/airflow*",
    "etc/systemd/system/*.wants/mlops*", "opt/mlops/bin", "opt/mlops/dags", "opt/mlops/lib",
    "opt/mlops/airflow/current", "opt/mlops/envs/*/current", "srv/mlops/workflows/current",
    "usr/local/bin/airflow", "usr/local/bin/mlops", "var/lib/mlops/answered",
)  # fmt: skip
LEFT = re.compile(
    r"etc/mlops/(secrets|locks|services)(/|$)|opt/mlops/lib/python/(?!current$)"
    r"|etc/systemd/system/[^/]+\.wants/mlops-model@|.*/__pycache__(/|$)"
)
"""Secrets never change; locks, services and code are generations, and others make them too."""
NEWER = re.compile(
    r"srv/mlops/workflows/|opt/mlops/envs/|etc/mlops/(tls/|(connections|variables)\.json$)"
)
"""What lives on after an upgrade, and a later rollback of Airflow leaves as it is."""


def paths(root: Path) -> Iterator[str]:
    """Regular files and links that belong to the archive, relative to the root, sorted."""
    found: set[str] = set()
    for pattern in SAVED:
        for name in glob(pattern, root_dir=root):
            found |= {str(p.relative_to(root)) for p in _below(root / name)}
    return iter(sorted(name for name in found if not LEFT.match(name)))


def _below(path: Path) -> Iterator[Path]:
    if path.is_symlink() or path.is_file():
        yield path
    elif path.is_dir():
        for child in path.iterdir():
            yield from _below(child)


def save(root: Path, archive: Path) -> int:
    """Write the archive, for root only; its size in bytes. It is on the disk afterwards."""
    with disk.writing(archive) as file, tarfile.open(fileobj=file, mode="w") as tar:
        for name in paths(root):
            tar.add(root / name, name, recursive=False)
    return archive.stat().st_size


def restore(root: Path, archive: Path, *, later: bool = False) -> list[str]:
    """Put everything back and remove what came since; the names of what changed.

    `later`: when the upgrade had gone well, so that NEWER is spared. May be broken off and
    repeated.
    """
    changed = []
    with tarfile.open(archive) as tar:
        found = [m for m in tar.getmembers() if not (later and NEWER.match(m.name))]
        members = {member.name: member for member in found}
        for name in paths(root):
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
    new = path.with_name(path.name + ".mlops-new")
    new.unlink(missing_ok=True)
    if data is None:
        new.symlink_to(member.linkname)
    else:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            shutil.copyfileobj(io.BytesIO(data), file)
        os.chown(new, member.uid, member.gid)
        new.chmod(member.mode)
        os.utime(new, (member.mtime, member.mtime))
    new.replace(path)
