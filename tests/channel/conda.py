"""Write `.conda` packages: the same files give the same bytes."""

import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backports import zstd

PYTHON = "3.11"
TAG = "cp311"
SITE = f"lib/python{PYTHON}/site-packages"
# Stands for the prefix in text files; the installation puts the real one there.
PLACEHOLDER = "/opt/placehold_placehold_placehold_placehold"
GLIBC = "__glibc >=2.17,<3.0.a0"
# 2020-01-01: the archives carry no other time.
EPOCH = 1577836800
FAST = 1


@dataclass(frozen=True)
class Package:
    """What a package says about itself. `noarch` is "python", "generic" or "" for linux-64."""

    name: str
    version: str
    depends: tuple[str, ...] = ()
    noarch: str = ""
    build: str = "0"
    entry_points: tuple[str, ...] = ()

    @property
    def subdir(self) -> str:
        return "noarch" if self.noarch else "linux-64"

    @property
    def stem(self) -> str:
        return f"{self.name}-{self.version}-{self.build}"


def write(package: Package, tree: Path, channel: Path) -> Path:
    """Pack the files of `tree` into the channel; the new file."""
    files = sorted(p for p in tree.rglob("*") if p.is_symlink() or p.is_file())
    target = channel / package.subdir / f"{package.stem}.conda"
    target.parent.mkdir(parents=True, exist_ok=True)
    info = {name: _json(content) for name, content in _info(package, tree, files).items()}
    with zipfile.ZipFile(target, "w") as archive:
        _add(archive, "metadata.json", _json({"conda_pkg_format_version": 2}))
        _add(archive, f"pkg-{package.stem}.tar.zst", _pack((p, p.relative_to(tree)) for p in files))
        _add(archive, f"info-{package.stem}.tar.zst", _pack_bytes(info))
    return target


def _info(package: Package, tree: Path, files: list[Path]) -> dict[str, Any]:
    index = {
        "name": package.name,
        "version": package.version,
        "build": package.build,
        "build_number": 0,
        "depends": sorted(package.depends),
        "subdir": package.subdir,
        "timestamp": EPOCH * 1000,
    }
    if package.noarch:
        index["noarch"] = package.noarch
    else:
        index |= {"arch": "x86_64", "platform": "linux"}
    info = {
        "info/about.json": {"summary": f"{package.name}, packed for tests"},
        "info/index.json": index,
        "info/paths.json": {"paths": [_path(tree, p) for p in files], "paths_version": 1},
    }
    if package.noarch == "python":
        noarch = {"type": "python", "entry_points": list(package.entry_points)}
        info["info/link.json"] = {"noarch": noarch, "package_metadata_version": 1}
    return info


def _path(tree: Path, path: Path) -> dict[str, Any]:
    name = str(path.relative_to(tree))
    if path.is_symlink():
        return {"_path": name, "path_type": "softlink"} | _digest(b"")
    data = path.read_bytes()
    entry = {"_path": name, "path_type": "hardlink"} | _digest(data)
    if PLACEHOLDER.encode() in data and path.suffix != ".pyc":
        entry |= {"file_mode": "text", "prefix_placeholder": PLACEHOLDER}
    return entry


def _digest(data: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "size_in_bytes": len(data)}


def _json(content: Any) -> bytes:
    return json.dumps(content, indent=1, sort_keys=True).encode()


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), data)


def _pack(members: Iterable[tuple[Path, Path]]) -> bytes:
    packed = io.BytesIO()
    with (
        zstd.ZstdFile(packed, "w", level=FAST) as compressed,
        tarfile.open(fileobj=compressed, mode="w|", format=tarfile.GNU_FORMAT) as archive,
    ):
        for path, name in members:
            member = _plain(archive.gettarinfo(path, str(name)))
            if member.isreg():
                with path.open("rb") as file:
                    archive.addfile(member, file)
            else:
                archive.addfile(member)
    return packed.getvalue()


def _pack_bytes(contents: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with (
        zstd.ZstdFile(packed, "w", level=FAST) as compressed,
        tarfile.open(fileobj=compressed, mode="w|", format=tarfile.GNU_FORMAT) as archive,
    ):
        for name, data in sorted(contents.items()):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(_plain(member), io.BytesIO(data))
    return packed.getvalue()


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """The member without what differs between machines and days; no hard links."""
    if member.islnk():
        member.type = tarfile.REGTYPE
    member.mtime, member.uid, member.gid, member.uname, member.gname = EPOCH, 0, 0, "", ""
    member.mode = 0o755 if member.mode & 0o100 else 0o644
    return member
