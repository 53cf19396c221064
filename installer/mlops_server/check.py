"""Whether environments are as they were built."""

import hashlib
import os
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from csv import reader
from pathlib import Path

from mlops_server import jsontext, listing
from mlops_server.condapart import Say
from mlops_server.layout import Layout
from mlops_server.store import Model, find, models
from mlops_server.takeover import inward

SHOWN = 10
"""How many files of an environment are named."""


def check(layout: Layout, names: list[str], *, full: bool, say: Say) -> int:
    """Say what differs; 2 when something does, else 0. Raises `EnvError`."""
    chosen = [find(layout, name) for name in names] if names else models(layout)
    results = [_check(model, lock, full, say) for model in chosen for lock in model.known()]
    return 0 if all(results) else 2


def _check(model: Model, lock: str, full: bool, say: Say) -> bool:
    changes = differences(model, lock, full=full)
    for change in changes[:SHOWN]:
        say(f"{model.name} {lock}: {change}")
    if len(changes) > SHOWN:
        say(f"{model.name} {lock}: and {len(changes) - SHOWN} more")
    return not changes


def differences(model: Model, lock: str, *, full: bool = False) -> list[str]:
    """What is not as built; with `full`, every file's content against its package as well."""
    prefix = model.prefix(lock)
    if prefix is None:
        return ["missing the whole build"]
    changes = listing.differences(prefix)
    if not full:
        return changes
    named = {change.partition(" ")[2] for change in changes}
    wrong = sorted(name for name in _wrong(prefix) if name not in named)
    return changes + [f"changed {name}" for name in wrong]


def _wrong(prefix: Path) -> Iterator[str]:
    """Files whose content is not what their package says."""
    expected = {**dict(_conda(prefix)), **dict(_wheels(prefix))}
    for name, sha256 in expected.items():
        path = prefix / name
        if not inward(name):
            yield name
            continue
        if path.is_symlink():
            continue
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            found = ""
        if found != sha256:
            yield name


def _conda(prefix: Path) -> Iterator[tuple[str, str]]:
    for meta in (prefix / "conda-meta").glob("*.json"):
        record = jsontext.loads(meta.read_bytes())
        for entry in (record.get("paths_data") or {}).get("paths", ()):
            sha256 = entry.get("sha256_in_prefix") or entry.get("sha256")
            if sha256:
                yield entry["_path"], sha256


def _wheels(prefix: Path) -> Iterator[tuple[str, str]]:
    """What uv wrote down at the build; it wins where a wheel put its file over conda's."""
    for record in prefix.glob("lib/python3.*/site-packages/*.dist-info/RECORD"):
        installer = record.parent / "INSTALLER"
        if not installer.is_file() or installer.read_text().strip() == "conda":
            continue
        with record.open(newline="") as rows:
            for name, digest, *_ in reader(rows):
                kind, _, value = digest.partition("=")
                if kind == "sha256":
                    path = os.path.relpath(record.parents[1] / name, prefix)
                    yield path, urlsafe_b64decode(f"{value}==").hex()
