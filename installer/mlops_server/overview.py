"""What there is: `mlops env list` and `mlops env show`."""

from pathlib import Path
from typing import Any

from mlops_server import jsontext, lockfile
from mlops_server.check import differences
from mlops_server.condapart import size
from mlops_server.inuse import READY
from mlops_server.layout import Layout
from mlops_server.store import Model, find_current, models

COLUMNS = ("model", "lock", "current", "python", "packages", "size", "built", "state")


def environments(layout: Layout) -> list[dict[str, Any]]:
    """Every environment: its facts, whether it is current, and `ready` or `changed`."""
    return [_facts(model, lock) for model in models(layout) for lock in model.known()]


def _facts(model: Model, lock: str) -> dict[str, Any]:
    prefix = model.prefix(lock)
    facts = _read(prefix / READY) if prefix else {}
    return {
        "model": model.name,
        "lock_hash": lock,
        "current": model.current() == lock,
        "python": facts.get("python"),
        "packages": facts.get("packages"),
        "bytes": facts.get("bytes"),
        "built_at": facts.get("built_at"),
        "state": "changed" if differences(model, lock) else "ready",
        "path": str(prefix) if prefix else None,
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = jsontext.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return found


def rows(found: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """The environments as a table for people."""
    return [
        (
            facts["model"],
            facts["lock_hash"],
            "yes" if facts["current"] else "",
            facts["python"] or "?",
            str(facts["packages"] or "?"),
            size(facts["bytes"]) if facts["bytes"] is not None else "?",
            facts["built_at"] or "?",
            facts["state"],
        )
        for facts in found
    ]


def show(layout: Layout, name: str) -> dict[str, Any]:
    """The current environment of a model: facts, what was asked for, packages."""
    model, lock, prefix = find_current(layout, name)
    asked = lockfile.asked_lines(prefix / ".mlops/environment.yml")
    return _facts(model, lock) | {"asked": asked, "installed": packages(prefix)}


def page(found: dict[str, Any]) -> list[str]:
    """What `show` found, for people."""
    columns = ("name", "version", "build", "from")
    installed = [tuple(package[name] for name in columns) for package in found["installed"]]
    return [
        f"{found['model']} {found['lock_hash']}, {found['state']}, built {found['built_at']}",
        found["path"],
        "asked for: " + ", ".join(found["asked"]),
        *table(columns, installed),
    ]


def packages(prefix: Path) -> list[dict[str, str]]:
    """What is installed, by name: conda's and pip's."""
    metas = (jsontext.loads(p.read_bytes()) for p in (prefix / "conda-meta").glob("*.json"))
    conda = [
        {"name": m["name"], "version": m["version"], "build": m["build"], "from": "conda"}
        for m in metas
    ]
    return sorted(conda + _wheels(prefix), key=lambda package: package["name"])


def _wheels(prefix: Path) -> list[dict[str, str]]:
    found = []
    for folder in prefix.glob("lib/python3.*/site-packages/*.dist-info"):
        installer = folder / "INSTALLER"
        if installer.is_file() and installer.read_text().strip() != "conda":
            name, _, version = folder.name.removesuffix(".dist-info").partition("-")
            name = lockfile.normal(name)
            found.append({"name": name, "version": version, "build": "", "from": "pip"})
    return found


def table(columns: tuple[str, ...], found: list[tuple[str, ...]]) -> list[str]:
    """Lines with the columns below each other."""
    lines = [columns, *found]
    widths = [max(len(line[n]) for line in lines) for n in range(len(columns))]
    return ["  ".join(w.ljust(n) for w, n in zip(line, widths, strict=True)).rstrip()
            for line in lines]  # fmt: skip
