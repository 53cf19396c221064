"""`mlops-install new-project`: a workflow repository to start from, which passes its own checks."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mlops_install.errors import ConfigError

STARTER = Path(__file__).parents[1] / "starter_project"
CI_FILES = {
    "github": ".github/workflows/check.yml",
    "gitlab": ".gitlab-ci.yml",
    "jenkins": "Jenkinsfile",
    "drone": ".drone.yml",
}
BRANCH = "main"
LEFT_OUT = {"__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache"}


def create(folder: Path, ci: Sequence[str], say: Callable[[str], None]) -> None:
    """Write the starter's files, and those of the CI systems in `ci`; the locks are made later.

    Run once more after a failure, it goes on. Raises `ConfigError` for a folder with other files
    and for an unknown CI system.
    """
    for system in ci:
        if system not in CI_FILES:
            raise ConfigError(
                f"{system} is not a known CI system", fix=f"use {', '.join(CI_FILES)}"
            )
    try:
        _refuse_full(folder)
        for name in files(ci):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(STARTER / name, target)
            target.chmod(0o755 if name.parts[0] == "ci" else 0o644)
    except OSError as error:
        raise ConfigError(
            f"cannot write {error.filename or folder}: {error.strerror}", fix="name another folder"
        ) from error
    say(f"wrote {folder}")
    repository(folder, say)


def files(ci: Sequence[str]) -> Iterator[Path]:
    """The starter's files by their paths in a project."""
    others = {path for system, path in CI_FILES.items() if system not in ci}
    for path in sorted(STARTER.rglob("*")):
        name = path.relative_to(STARTER)
        if path.is_file() and str(name) not in others and not LEFT_OUT & set(name.parts):
            yield name


def _refuse_full(folder: Path) -> None:
    """Nothing of anybody's is overwritten: what is there must be ours, as an earlier run left it.

    A Git repository without a file is empty enough.
    """
    there = sorted(path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())
    names = [path.relative_to(folder) for path in there]
    others = [str(n) for n in names if n.parts[0] != ".git" and not _ours(folder, n)]
    if others:
        raise ConfigError(
            f"{folder} is not empty: it has {', '.join(others[:3])}", fix="name a new folder"
        )


def _ours(folder: Path, name: Path) -> bool:
    """Whether a file is as we write it, or one of the locks."""
    source, there = STARTER / name, folder / name
    if name.name == "conda-lock.yml":
        return source.with_name("environment.yml").is_file() and not there.is_symlink()
    same = source.is_file() and there.is_file() and not there.is_symlink()
    return same and source.read_bytes() == there.read_bytes()


def repository(folder: Path, say: Callable[[str], None]) -> None:
    """Make it a Git repository whose first branch is that of [workflows] ref.

    Git itself would still call it `master`. One that has a commit is left as it is.
    """
    inside = _git(folder, "rev-parse", "--is-inside-work-tree")
    if inside is None:
        say(f"git is not installed: make {folder} a repository with a branch {BRANCH} yourself")
        return
    if inside.returncode != 0:
        _git(folder, "init", "--quiet")
    elif _has_commit(folder):
        return
    done = _git(folder, "symbolic-ref", "HEAD", f"refs/heads/{BRANCH}")
    if done and done.returncode == 0:
        say(f"a Git repository with the branch {BRANCH}")


def _has_commit(folder: Path) -> bool:
    done = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    return done is not None and done.returncode == 0


def _git(folder: Path, *words: str) -> "subprocess.CompletedProcess[str] | None":
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(folder), *words]
    try:
        return subprocess.run(command, env=clean, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
