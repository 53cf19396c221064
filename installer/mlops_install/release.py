"""The files of a workflow project on this side, as they become a release on the server."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from mlops_install.errors import ConfigError
from mlops_install.resources.tree import Content, Files

SKIPPED = {"__pycache__", "node_modules"}
ODD = re.compile(r"[\x00-\x1f\x7f\\]")


def read(folder: Path, limit_mb: int = 100) -> Files:
    """Read the files: those that Git knows or would add, else all that are not hidden.

    Raises `ConfigError` for what cannot become a release.
    """
    if not (folder / "dags").is_dir():
        raise ConfigError(
            f"[workflows] path: there is no folder {folder / 'dags'}",
            fix="name a folder with dags/, and models/ where there are models",
        )
    files: dict[str, Content] = {}
    size = 0
    for path in sorted(_names(folder)):
        files[path] = _content(folder, path)
        size += len(files[path].data)
        if size > limit_mb * 1024 * 1024:
            raise ConfigError(
                f"[workflows] path: the files in {folder} are more than {limit_mb} MiB"
                f" ({path} is the one over it)",
                fix="keep data in /srv/mlops/data or in a database, and name it in .gitignore",
            )
    return files


def _names(folder: Path) -> Iterator[str]:
    if (folder / ".git").exists():
        yield from (name for name in _git(folder) if os.path.lexists(folder / name))
        return
    for top, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in SKIPPED]
        for name in names:
            if not name.startswith("."):
                yield str((Path(top) / name).relative_to(folder))


def _git(folder: Path) -> list[str]:
    words = ["git", "-C", str(folder), "ls-files", "-z", "--cached", "--others"]
    done = subprocess.run([*words, "--exclude-standard"], capture_output=True, check=False)
    if done.returncode != 0:
        raise ConfigError(
            f"[workflows] path: git cannot list the files of {folder}",
            detail=done.stderr.decode(errors="replace").strip(),
            fix="mend the repository, or copy its files to a folder without .git",
        )
    return [os.fsdecode(name) for name in done.stdout.split(b"\0") if name]


def _content(folder: Path, name: str) -> Content:
    path = folder / name
    if ODD.search(name):
        raise ConfigError(f"[workflows] path: the file name {name!r} is odd", fix="rename it")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(
            f"[workflows] path: {path} is a link to {path.resolve()}, outside of the project",
            fix="copy the file into the project",
        )
    if not path.is_file():
        raise ConfigError(
            f"[workflows] path: {path} is not a file",
            fix="remove it; a submodule must be checked out in a folder without .git",
        )
    return Content(path.read_bytes(), os.access(path, os.X_OK))
