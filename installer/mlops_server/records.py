"""What packages left for conda to read: judged once, when root takes the prefix over.

Root, too, reads these files: to list packages, to compare files, to set variables.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlops_server import jsontext
from mlops_server.takeover import inward, refuse

RECORD = 64 << 20
SMALL = 1 << 20


def judge(prefix: Path) -> None:
    """Raise `BadLock` for a file that is not as conda writes it, or names one outside."""
    for path in sorted(prefix.glob("conda-meta/*.json")):
        found = _load(prefix, path, RECORD)
        texts = [found.get(key) for key in ("name", "version", "build")]
        if not all(isinstance(text, str) for text in texts):
            refuse(str(path.relative_to(prefix)), "is no record of a package")
        for name in _names(found):
            if not isinstance(name, str) or not inward(name):
                refuse(str(path.relative_to(prefix)), f"names the file {name!a:.200}")
    for path in sorted(prefix.glob("etc/conda/env_vars.d/*.json")):
        _load(prefix, path, SMALL)
    state = prefix / "conda-meta/state"
    if state.exists() and not isinstance(_load(prefix, state, SMALL).get("env_vars", {}), dict):
        refuse("conda-meta/state", "has no variables where they belong")


def _load(prefix: Path, path: Path, most: int) -> dict[str, Any]:
    name = str(path.relative_to(prefix))
    try:
        if path.stat().st_size > most:
            refuse(name, f"is more than {most >> 20} MiB")
        found = jsontext.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        refuse(name, "is not as conda writes it")
    return found


def _names(record: dict[str, Any]) -> Iterator[Any]:
    files, about = record.get("files") or [], record.get("paths_data") or {}
    paths = about.get("paths") or [] if isinstance(about, dict) else [None]
    yield from files if isinstance(files, list) else [None]
    for one in paths if isinstance(paths, list) else [None]:
        yield one.get("_path") if isinstance(one, dict) else None
