"""Build an environment aside, prove it, and only then let it be found."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from mlops_server import activation, inuse, listing
from mlops_server.clean import CACHE_LOCK, sweep
from mlops_server.condapart import Say
from mlops_server.errors import BadLock, EnvError
from mlops_server.layout import MODEL_NAME, Layout
from mlops_server.lockfile import RELOCK, Locked, read, subdir
from mlops_server.person import Person
from mlops_server.store import LOCK_HASH, Model, find, held, read_source


def build(layout: Layout, name: str, lock: str, person: Person, say: Say) -> None:
    """Have an intact environment of this lock. Raises `EnvError`; then nothing has changed."""
    model = find(layout, name) if MODEL_NAME.fullmatch(name) else _refuse(name)
    if not LOCK_HASH.fullmatch(lock):
        raise EnvError(
            f"{lock} is not a lock hash", fix="give the hex digits that `mlops env list` shows"
        )
    os.umask(0o022)
    with model.held(wait=False) as mine:
        if mine:
            _ensure(model, lock, person, say)
    if not mine:
        say(f"{name}: waiting for another build of this model")
        with model.held():
            _ensure(model, lock, person, say)


def _refuse(name: str) -> Model:
    raise EnvError(
        f"{name!r} cannot be a model's name",
        fix="use small letters, digits, - and _, a letter first",
    )


def _ensure(model: Model, lock: str, person: Person, say: Say) -> None:
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
    with _new(model, lock) as prefix:
        begun = time.monotonic()
        _fill(model, prefix, source, person, say)
        _finish(model, prefix, lock, begun)
        say(f"{model.name}: ready in {time.monotonic() - begun:.1f} s")


@contextmanager
def _new(model: Model, lock: str) -> Iterator[Path]:
    """A new build folder, removed again when something goes wrong."""
    prefix = model.new_build(lock)
    try:
        yield prefix
    except BaseException:
        _remove(prefix)
        raise


def _remove(prefix: Path) -> None:
    """Threads of rattler write on for a moment after it has failed; what they leave at last goes
    with the next build."""
    for _ in range(50):
        shutil.rmtree(prefix, ignore_errors=True)
        time.sleep(0.1)
        if not prefix.exists():
            break


def _fill(model: Model, prefix: Path, source: Path, person: Person, say: Say) -> None:
    """Put the packages in, and try them."""
    from mlops_server import compiling, condapart, pippart, smoke

    def told(text: str) -> None:
        say(f"{model.name}: {text}")

    layout = model.layout
    conda, pip = read(source / "conda-lock.yml")
    _python(conda)
    layout.package_cache.mkdir(parents=True, exist_ok=True)
    with held(layout.package_cache / CACHE_LOCK, shared=True):
        condapart.install(prefix, source / "conda-lock.yml", conda, layout, told)
    pippart.install(prefix, pip, layout, told)
    told("compiling")
    compiling.compile_noarch(prefix)
    _keep_source(source, prefix / ".mlops")
    activation.write(prefix)
    _settle(prefix)
    told("smoke test")
    smoke.run(prefix, source / "environment.yml", person)


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


def _settle(prefix: Path) -> int:
    """Readable by all, writable by the owner only, nothing set-uid; the bytes of all files."""
    total = 0
    for folder, folders, files in os.walk(prefix):
        for path in (os.path.join(folder, name) for name in (*folders, *files)):
            found = os.lstat(path)
            kind = found.st_mode & 0o170000
            if kind == 0o120000:
                continue
            total += found.st_size if kind == 0o100000 else 0
            run = 0o111 if kind == 0o040000 or found.st_mode & 0o100 else 0
            if found.st_mode & 0o7777 != 0o644 | run:
                os.chmod(path, 0o644 | run)
            if os.geteuid() == 0 and (found.st_uid or found.st_gid):
                os.chown(path, 0, 0)
    return total


def _finish(model: Model, prefix: Path, lock: str, begun: float) -> None:
    """Write down what was built, get it onto the disk, and switch the link."""
    conda, pip = read(prefix / ".mlops/conda-lock.yml")
    facts = {
        "model": model.name,
        "lock_hash": lock,
        "python": _python(conda),
        "packages": len(conda) + len(pip),
        "bytes": _settle(prefix),
        "built_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "seconds": round(time.monotonic() - begun, 1),
        "platform": subdir(),
    }
    (prefix / inuse.READY).write_text(json.dumps(facts, indent=1) + "\n")
    listing.write(prefix)
    subprocess.run(["sync", "--file-system", prefix], check=True)
    model.finish(prefix, lock)
