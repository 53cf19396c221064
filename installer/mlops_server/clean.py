"""Remove what is not needed: first out of the way by one rename, then at leisure."""

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

from mlops_server import confined, inuse, jsontext
from mlops_server.condapart import Say
from mlops_server.layout import SHORT, Layout, lock_hash
from mlops_server.store import RUBBISH, Model, held, models

Used = Callable[[], set[str]]
"""Says what `inuse.paths` found; asked only when there is something to remove."""
CACHE_LOCK = ".mlops.lock"


def clean(layout: Layout, keep: int, say: Say) -> None:
    """Keep, per model, the current environment, the `keep` that were current last before it,
    those that a workflow release names, and those in use."""
    used = cache(lambda: inuse.paths(layout.envs))
    named = release_locks(layout)
    for model in models(layout):
        with model.held(wait=False) as mine:
            if mine:
                _clean_model(model, needed(model, keep) | named.get(model.name, set()), used, say)
            else:
                say(f"{model.name}: is being built, left alone")
    _clean_cache(layout)


def needed(model: Model, keep: int) -> set[str]:
    """The lock hashes to keep because they are, or lately were, current."""
    current, links = model.current() or "", {lock[:SHORT] for lock in model.links()}
    before = dict.fromkeys(lock[:SHORT] for lock in model.history())
    others = [lock for lock in before if lock != current[:SHORT] and lock in links]
    return {*others[:keep], *([current] if current else [])}


def release_locks(layout: Layout) -> dict[str, set[str]]:
    """The lock hashes that workflow releases on this server name, by model."""
    found: dict[str, set[str]] = {}
    for path in layout.releases.glob("*/models/*/conda-lock.yml"):
        found.setdefault(path.parent.name, set()).add(lock_hash(path.read_bytes()))
    return found


def _clean_model(model: Model, wanted: set[str], used: Used, say: Say) -> None:
    entries = {path.name for path in model.locks.glob("[0-9a-f]*")}
    kept = {lock[:SHORT] for lock in wanted}
    for lock in sorted(entries | set(model.links())):
        if lock[:SHORT] in kept:
            continue
        if _remove_environment(model, lock, used):
            say(f"{model.name}: {lock} removed")
        else:
            say(f"{model.name}: {lock} is in use, left alone")
    sweep(model, used, say)
    for folder in (model.builds, model.locks):
        for rubbish in folder.glob(f"{RUBBISH}*"):
            confined.remove(rubbish)


def _remove_environment(model: Model, lock: str, used: Used) -> bool:
    prefix = model.prefix(lock)
    if prefix is not None:
        with inuse.claimed(prefix, used()) as free:
            if not free:
                return False
            model.link(lock).unlink()
            aside = _aside(prefix)
        confined.remove(aside)
    model.link(lock).unlink(missing_ok=True)  # it led nowhere
    if (model.locks / lock).is_dir():
        confined.remove(_aside(model.locks / lock))
    return True


def sweep(model: Model, used: Used, say: Say) -> None:
    """Remove builds that no link points to and nothing runs from. Hold the model's lock."""
    for path in model.unlinked():
        with inuse.claimed(path, used()) as free:
            if not free:
                say(f"{model.name}: {path.name} is in use, left alone")
                continue
            aside = _aside(path)
        confined.remove(aside)


def _aside(path: Path) -> Path:
    """Rename something to rubbish, next to where it was."""
    aside = path.with_name(RUBBISH + hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16])
    if aside.exists():
        confined.remove(aside)
    return path.rename(aside)


def _clean_cache(layout: Layout) -> None:
    """Remove packages that no environment has, and what interrupted builds left (hidden), unless
    a build is at work."""
    if not layout.package_cache.is_dir():
        return
    with held(layout.package_cache / CACHE_LOCK, wait=False) as mine:
        wanted = _archives(layout) | {CACHE_LOCK}
        for cache in (layout.package_cache, layout.wheel_cache) if mine else ():
            found = cache.iterdir() if cache.is_dir() else ()
            confined.remove(*(path for path in found if path.name not in wanted))


def _archives(layout: Layout) -> set[str]:
    """The packages of all environments, by their SHA-256, as the builds wrote them down."""
    found: set[str] = set()
    for path in layout.envs.glob(f"*/builds/*/{inuse.READY}"):
        with suppress(OSError, ValueError):
            found.update(jsontext.loads(path.read_bytes()).get("archives", ()))
    return found
