"""Build an environment aside, prove it, and only then let it be found."""

import json
import os
import shutil
import subprocess
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from mlops_server import activation, archives, confined, hosts, inuse, listing, records, takeover
from mlops_server.clean import CACHE_LOCK, sweep
from mlops_server.condapart import Say
from mlops_server.errors import BadLock, EnvError
from mlops_server.layout import MODEL_NAME, Layout
from mlops_server.lockfile import RELOCK, Locked, read, subdir
from mlops_server.store import LOCK_HASH, Model, find, held, read_source

TRIES = 5
"""How often packages of the cache may turn out to be damaged."""
SMOKE = 900
"""Seconds that the unit of the smoke test may last; the test has a limit of its own."""


def build(layout: Layout, name: str, lock: str, say: Say) -> None:
    """Have an intact environment of this lock. Raises `EnvError`; then nothing has changed."""
    model = find(layout, name) if MODEL_NAME.fullmatch(name) else _refuse(name)
    if not LOCK_HASH.fullmatch(lock):
        raise EnvError(
            f"{lock} is not a lock hash", fix="give the hex digits that `mlops env list` shows"
        )
    os.umask(0o022)
    with model.held(wait=False) as mine:
        if mine:
            _ensure(model, lock, say)
    if not mine:
        say(f"{name}: waiting for another build of this model")
        with model.held():
            _ensure(model, lock, say)


def _refuse(name: str) -> Model:
    raise EnvError(
        f"{name!r} cannot be a model's name",
        fix="use small letters, digits, - and _, a letter first",
    )


def _ensure(model: Model, lock: str, say: Say) -> None:
    prefix = model.prefix(lock)
    if prefix is not None:
        changes = listing.differences(prefix)
        if not changes:
            say(f"{model.name}: is ready")
            return
        more = f", and {len(changes) - 1} more" if changes[1:] else ""
        say(f"{model.name}: not as built: {changes[0]}{more}")
    source = read_source(model, lock)
    sweep(model, lambda: inuse.paths(model.folder), say)
    begun = time.monotonic()

    def told(text: str) -> None:
        say(f"{model.name}: {text}")

    for _ in range(TRIES):
        try:
            _try(model, source, told)
        except _Damaged as damaged:
            name, known = damaged.args
            if not known:
                break
            told(f"{name} in the cache is not as it was unpacked: it is fetched once more")
        else:
            told(f"ready in {time.monotonic() - begun:.1f} s")
            return
    raise EnvError(
        "the cache of conda packages is damaged", fix=f"remove {model.layout.package_cache}"
    )


def _fill(
    model: Model, yard: confined.Yard, source: Path, say: Say
) -> tuple[list[Locked], takeover.Tree]:
    """Have the packages put in by units, and take the prefix over; what was locked, what is there.

    Raises `EnvError`, and `_Damaged`.
    """
    layout, prefix = model.layout, yard.seen
    conda, wheels = read(source / "conda-lock.yml")
    hosts.judge(layout, conda)
    _python(conda)
    layout.package_cache.mkdir(parents=True, exist_ok=True)
    with held(layout.package_cache / CACHE_LOCK, shared=True):
        archives.provide(layout, model.name, conda, wheels, say)
        request = {
            "prefix": str(prefix),
            "lock": (source / "conda-lock.yml").read_text(),
            "conda": [asdict(one) for one in conda],
            "wheels": [asdict(one) for one in wheels],
            "packages": str(layout.package_cache),
            "archives": str(layout.wheel_cache),
            "uv": str(layout.uv),
        }
        answer = confined.call(layout, f"mlops-build-{model.name}", "link", request, say, yard=yard)
        if damaged := answer.get("damaged"):
            raise _Damaged(str(damaged), archives.drop(layout, str(damaged), conda))
    tree = takeover.take(yard.hidden, at=prefix)
    if yard.hidden != prefix:
        yard.hidden.rename(prefix)
    records.judge(prefix)
    return [*conda, *wheels], tree


class _Damaged(Exception):  # noqa: N818 - reads as what was found
    """A package of the cache was not as it was unpacked; it is dropped where it was known."""


def _try(model: Model, source: Path, say: Say) -> None:
    """Raises `EnvError`, and `_Damaged`."""
    lock = source.name
    prefix = model.new_build(lock)
    begun = time.monotonic()
    try:
        with confined.yard(model.layout, prefix) as yard:
            packages, tree = _fill(model, yard, source, say)
        _keep_source(source, prefix / ".mlops")
        activation.write(prefix)
        say("smoke test")
        name = f"mlops-smoke-{model.name}"
        confined.call(model.layout, name, "smoke", {"prefix": str(prefix)}, say, seconds=SMOKE)
        _finish(model, prefix, packages, tree, begun)
    except BaseException:
        confined.remove(prefix)
        raise


def _python(conda: list[Locked]) -> str:
    for package in conda:
        if package.name == "python":
            return package.version
    raise BadLock("the lock has no python", fix=f"add it to environment.yml; {RELOCK}")


def _keep_source(source: Path, folder: Path) -> None:
    folder.mkdir()
    for name in ("conda-lock.yml", "environment.yml", "model.toml"):
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)


def _finish(
    model: Model, prefix: Path, packages: list[Locked], tree: takeover.Tree, begun: float
) -> None:
    """Write down what was built, get it onto the disk, and switch the link."""
    lock = prefix.name.partition(".")[0]
    facts = {
        "model": model.name,
        "lock_hash": lock,
        "python": _python(packages),
        "packages": len(packages),
        "archives": [package.sha256 for package in packages],
        "bytes": tree.bytes,
        "built_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "seconds": round(time.monotonic() - begun, 1),
        "platform": subdir(),
    }
    (prefix / inuse.READY).write_text(json.dumps(facts, indent=1) + "\n")
    listing.write(prefix)
    subprocess.run(["sync", "--file-system", prefix], check=True)
    model.finish(prefix, lock)
