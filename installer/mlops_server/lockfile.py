"""Read conda-lock.yml and environment.yml: what is locked for this machine, what was asked for."""

import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_server.errors import BadLock
from mlops_server.models import locks, reading
from mlops_server.models.locks import MAIN, RELOCK, normal

__all__ = ["RELOCK", "Locked", "asked", "asked_lines", "normal", "read", "subdir"]

_ARCHITECTURES = {"x86_64": "linux-64", "aarch64": "linux-aarch64", "ppc64le": "linux-ppc64le"}


@dataclass(frozen=True)
class Locked:
    """One package of a lock; `sha256` is never empty."""

    name: str
    version: str
    url: str
    sha256: str


def subdir() -> str:
    """What conda calls this machine."""
    return _ARCHITECTURES.get(platform.machine(), f"linux-{platform.machine()}")


def _load(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises `BadLock`."""
    try:
        found = reading.load(path.read_bytes())
    except ValueError as error:
        raise BadLock(f"{path} is not YAML: {error}", fix=RELOCK) from None
    if not isinstance(found, dict):
        raise BadLock(f"{path} has no settings", fix=RELOCK)
    return found


def read(path: Path) -> tuple[list[Locked], list[Locked]]:
    """The conda and the pip packages of the main category for this machine.

    Raises `BadLock` when there are none, or one that cannot be had safely.
    """
    try:
        entries = locks.packages(path.read_bytes())
    except ValueError as error:
        raise BadLock(f"the lock is not YAML, or no lock: {error}", fix=RELOCK) from None
    here = [entry for entry in entries if entry["platform"] == subdir()]
    if problem := locks.flaw(here or entries, (subdir(),)):
        raise BadLock(problem.text, fix=problem.fix)
    main = [entry for entry in here if entry.get("category", MAIN) == MAIN]
    conda = [_locked(entry) for entry in main if entry["manager"] == "conda"]
    pip = [_locked(entry) for entry in main if entry["manager"] == "pip"]
    return conda, pip


def _locked(entry: dict[str, Any]) -> Locked:
    return Locked(entry["name"], entry["version"], entry["url"], entry["hash"]["sha256"])


def asked(path: Path) -> tuple[list[str], list[str]]:
    """The names of the conda and of the pip packages that an environment.yml asks for."""
    dependencies = _dependencies(path)
    conda = [_conda_name(spec) for spec in dependencies if isinstance(spec, str)]
    pips = [_pip(spec) for spec in dependencies if isinstance(spec, dict)]
    pip = [_pip_name(spec) for specs in pips for spec in specs]
    return [name for name in conda if name], [name for name in pip if name]


def _dependencies(path: Path) -> list[Any]:
    found = _load(path).get("dependencies") or []
    if not isinstance(found, list):
        raise BadLock(f"{path}: dependencies must be a list", fix="correct it; " + RELOCK)
    return found


def _pip(spec: dict[str, Any]) -> list[str]:
    found = spec.get("pip") or []
    return [one for one in (found if isinstance(found, list) else [found]) if isinstance(one, str)]


def asked_lines(path: Path) -> list[str]:
    """What an environment.yml asks for, in its own words."""
    lines = []
    for spec in _dependencies(path):
        lines += [f"pip: {line}" for line in _pip(spec)] if isinstance(spec, dict) else []
        lines += [spec] if isinstance(spec, str) else []
    return lines


def _conda_name(spec: str) -> str:
    found = re.match(r"\s*(?:[^\s:]+::)?([A-Za-z0-9_.-]+)", spec)
    return found[1].lower() if found else ""


def _pip_name(spec: str) -> str:
    """The name in its normal form, or nothing for an option or a bare address."""
    found = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?![:/\w])", str(spec))
    return normal(found[1]) if found else ""
