"""What root keeps of a repository: packs and large files, for the next run to look at.

Root never asks Git about them; units read them, and only add to them through here.
"""

import os
import re
from pathlib import Path

from mlops_server import takeover
from mlops_server.confined import remove

PACK = re.compile(r"pack-[0-9a-f]{40,64}\.(?:pack|rev|idx)")
LARGE = re.compile(r"[0-9a-f]{64}")
ENDS = (".pack", ".rev", ".idx")
"""In this order: Git looks for the last one."""
MOST = 100
"""Packs; with more of them the mirror is made anew."""


def fits(mirror: Path, commit: str) -> bool:
    """Whether it has packs, and they name things as this commit is named: SHA-1 or SHA-256."""
    packs = [path.stem for path in (mirror / "objects/pack").glob("*.pack")]
    return bool(packs) and all(len(name) == len("pack-") + len(commit) for name in packs)


def keep(made: Path, mirror: Path) -> None:
    """Move what is new in a repository, which was taken over, into the mirror."""
    packs = mirror / "objects/pack"
    packs.mkdir(parents=True, exist_ok=True)
    found = [path for path in _files(made / "objects/pack") if PACK.fullmatch(path.name)]
    for path in sorted(found, key=lambda path: ENDS.index(path.suffix)):
        _drop_others(packs, len(path.stem))
        path.replace(packs / path.name)
    for path in _files(made / "lfs/objects"):
        if LARGE.fullmatch(path.name):
            target = mirror / "lfs/objects" / path.name[:2] / path.name[2:4] / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            takeover.take_file(path, path.name, target)
    os.utime(mirror)


def _drop_others(packs: Path, length: int) -> None:
    """Git can read one kind of names only, SHA-1 or SHA-256: the repository was made anew."""
    for path in packs.glob("pack-*"):
        if len(path.stem) != length:
            path.unlink()


def forget_large(mirror: Path, kept: set[str]) -> None:
    """Drop the files of Git LFS but those: it keeps all that it ever fetched."""
    for path in _files(mirror / "lfs"):
        if path.name not in kept:
            path.unlink()


def _files(folder: Path) -> list[Path]:
    return [Path(top) / name for top, _, names in os.walk(folder) for name in names]


def tidy(mirror: Path) -> None:
    """A mirror is only a copy: one in many pieces is made anew by the next pull."""
    if len(list(mirror.glob("objects/pack/*.pack"))) > MOST:
        remove(mirror)
