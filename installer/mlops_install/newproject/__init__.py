"""`mlops-install new-project`: a workflow repository to start from, which passes its own checks."""

import shutil
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
LEFT_OUT = {"__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache"}


def create(folder: Path, ci: Sequence[str], say: Callable[[str], None]) -> None:
    """Write the starter's files, and those of the CI systems in `ci`; the locks are made later.

    Raises `ConfigError` for a folder that is not empty and for an unknown CI system.
    """
    for system in ci:
        if system not in CI_FILES:
            raise ConfigError(
                f"{system} is not a CI system that this knows", fix=f"use {', '.join(CI_FILES)}"
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


def files(ci: Sequence[str]) -> Iterator[Path]:
    """The starter's files by their paths in a project."""
    others = {path for system, path in CI_FILES.items() if system not in ci}
    for path in sorted(STARTER.rglob("*")):
        name = path.relative_to(STARTER)
        if path.is_file() and str(name) not in others and not LEFT_OUT & set(name.parts):
            yield name


def _refuse_full(folder: Path) -> None:
    """A Git repository without a file is empty enough."""
    there = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    if [name for name in there if name != ".git"]:
        raise ConfigError(
            f"{folder} is not empty: it has {', '.join(there[:3])}", fix="name a new folder"
        )
