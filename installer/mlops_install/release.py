"""The files of a workflow project on this side, as they become a release on the server."""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mlops_install.errors import ConfigError
from mlops_install.resources.tree import Content, Files

KEYS = ("workflows", "path")
KEPT = {".airflowignore"}
"""Hidden files that are no secret and that the server needs."""
SKIPPED = {"__pycache__", "node_modules"}
ODD = re.compile(r"[\x00-\x1f\x7f\\]")


def folder_of(project: Path) -> None:
    """Raises `ConfigError` for a folder that holds no project."""
    dags = project / "dags"
    fix = "name a folder with dags/, and models/ where there are models"
    try:
        if not dags.is_dir():
            raise _wrong(f"there is no folder {dags}", fix=fix)
    except OSError as error:
        raise _wrong(f"cannot read {dags}: {error.strerror}", fix=fix) from error


def _wrong(message: str, *, fix: str, detail: str = "") -> ConfigError:
    return ConfigError(message, fix=fix, detail=detail, keys=KEYS)


def read(folder: Path, limit_mb: int = 100) -> Files:
    """Read the files: those that Git knows or would add; without Git all that are not hidden.

    Raises `ConfigError` for what cannot become a release.
    """
    folder_of(folder)
    files: dict[str, Content] = {}
    size = 0
    for path in sorted(_names(folder)):
        files[path] = _content(folder, path)
        size += len(files[path].data)
        if size > limit_mb * 1024 * 1024:
            raise _wrong(
                f"the files in {folder} are more than {limit_mb} MiB ({path} is the one over it)",
                fix="keep data in /srv/mlops/data or in a database, and name it in .gitignore",
            )
    return files


def _names(folder: Path) -> Iterator[str]:
    """Git judges what is ignored, also for a subfolder of a repository and for a mere copy of
    one: what people keep out of Git by .gitignore is often a secret."""
    if _in_git(folder):
        listed = _git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        yield from (name for name in _split(listed) if os.path.lexists(folder / name))
        return
    found = list(_walked(folder))
    if any(Path(name).name == ".gitignore" for name in found):
        found = sorted(set(found) - set(_ignored(folder)))
    yield from (name for name in found if Path(name).name in KEPT or not _hidden(name))


def _walked(folder: Path) -> Iterator[str]:
    for top, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not _hidden(name) and name not in SKIPPED]
        yield from (str((Path(top) / name).relative_to(folder)) for name in names)


def _hidden(name: str) -> bool:
    return Path(name).name.startswith(".")


def _in_git(folder: Path) -> bool:
    """Whether a repository is responsible for the folder, and does not ignore all of it."""
    above = (folder.resolve(), *folder.resolve().parents)
    if not any(os.path.lexists(place / ".git") for place in above):
        return False
    if "not a git repository" in _run(folder, "rev-parse", "--show-toplevel").stderr.decode():
        return False
    _git(folder, "rev-parse", "--show-toplevel")
    return _run(folder, "check-ignore", "-q", str(folder.resolve())).returncode != 0


def _ignored(folder: Path) -> list[str]:
    """What the .gitignore files of a folder that is in no repository leave out."""
    with tempfile.TemporaryDirectory(prefix="mlops-git-") as made:
        place = [f"--git-dir={made}", f"--work-tree={folder.resolve()}"]
        _git(folder, "init", "-q", "--bare", made)
        words = ["ls-files", "-z", "--others", "--ignored", "--exclude-per-directory=.gitignore"]
        return _split(_git(folder, *place, *words))


def _split(listed: bytes) -> list[str]:
    return [os.fsdecode(name) for name in listed.split(b"\0") if name]


def _git(folder: Path, *words: str) -> bytes:
    done = _run(folder, *words)
    if done.returncode != 0:
        raise _wrong(
            f"git cannot list the files of {folder}",
            detail=done.stderr.decode(errors="replace").strip(),
            fix="see what git says above, or copy its files to a folder without .git",
        )
    return done.stdout


def _run(folder: Path, *words: str) -> "subprocess.CompletedProcess[bytes]":
    """Git, in English, and of this folder: a hook of Git's sets GIT_DIR for another one."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *words],
            env=clean | {"LC_ALL": "C"},
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        raise _wrong(
            f"{folder} belongs to Git, and git is not installed here",
            fix="install git: it knows which files are to be left out",
        ) from None


def _content(folder: Path, name: str) -> Content:
    try:
        return _read(folder, name)
    except (OSError, RuntimeError) as error:  # RuntimeError: a link that leads to itself
        why = getattr(error, "strerror", None) or "it is a link to itself"
        raise _wrong(
            f"cannot read {folder / name}: {why}", fix="see its mode, or remove it"
        ) from error


def _read(folder: Path, name: str) -> Content:
    path = folder / name
    if ODD.search(name):
        raise _wrong(
            f"the file name {name!r} has a character that no name may have", fix="rename it"
        )
    if not path.resolve().is_relative_to(folder.resolve()):
        raise _wrong(
            f"{path} is a link to {path.resolve()}, outside of the project",
            fix="copy the file into the project",
        )
    if not path.is_file():
        raise _wrong(
            f"{path} is not a file",
            fix="remove it; a submodule must be checked out in a folder without .git",
        )
    return Content(path.read_bytes(), os.access(path, os.X_OK))
