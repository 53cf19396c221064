"""Make the channel once per state of its inputs, and keep it in the user's cache."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from channel import conda, extras, interpreter, wheels
from channel.interpreter import UnavailableError

HERE = Path(__file__).parent
BUILDERS = ("conda.py", "extras.py", "interpreter.py", "make.py", "wheels.py")
# A py-rattler process may crash while it ends, after its work: leave before that.
INDEX = """\
import asyncio, os, sys, traceback
from rattler.index import index_fs
code = 1
try:
    asyncio.run(index_fs(sys.argv[1], write_shards=False))
    code = 0
except BaseException:
    traceback.print_exc()
sys.stdout.flush()
sys.stderr.flush()
os._exit(code)
"""
KEPT = 7 * 24 * 3600


@dataclass(frozen=True)
class Channel:
    """A folder with `linux-64` and `noarch` below `folder/conda-forge`."""

    folder: Path

    @property
    def packages(self) -> list[Path]:
        return sorted(self.folder.glob("conda-forge/*/*.conda"))


def unavailable() -> str:
    """Why the channel cannot be made here; empty if it can."""
    try:
        interpreter.check(interpreter.find())
    except UnavailableError as error:
        return str(error)
    return ""


def build() -> Channel:
    """The channel: made if it is not in the cache. Raises UnavailableError, CalledProcessError."""
    base = interpreter.find()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlops-install"
    folder = cache / f"channel-{_digest(base)}"
    cache.mkdir(parents=True, exist_ok=True)
    with _alone(cache / "channel.lock"):
        if folder.is_dir():
            os.utime(folder)
            return Channel(folder)
        interpreter.check(base)
        _sweep(cache)
        _build(base, folder)
    return Channel(folder)


def _digest(base: Path) -> str:
    """Of everything the packages are made of: builders, locks, interpreter."""
    inputs = hashlib.sha256()
    for path in [*(HERE / name for name in BUILDERS), *wheels.LOCKS]:
        inputs.update(path.read_bytes())
    built = interpreter.program(base).stat()
    inputs.update(f"{base} {built.st_size} {built.st_mtime_ns}".encode())
    return inputs.hexdigest()[:12]


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One process at a time: two test suites may want the channel at once."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sweep(cache: Path) -> None:
    """Remove what nobody has used for a week, and what an interrupted build has left."""
    for old in cache.glob("channel-*/"):
        if old.suffix == ".new" or old.stat().st_mtime < time.time() - KEPT:
            shutil.rmtree(old)


def _build(base: Path, folder: Path) -> None:
    """Build aside; the finished folder appears by one rename."""
    started = time.monotonic()
    print(f"making the conda test channel in {folder}", flush=True)
    new, work = folder.with_suffix(".new"), folder.with_suffix(".new") / "work"
    work.mkdir(parents=True)
    channel = new / "conda-forge"
    with ThreadPoolExecutor(2) as pool:
        python = pool.submit(_python, base, work / "python", channel)
        made = list(wheels.download(_made(work / "wheels")))
        jobs = [pool.submit(_wheel, base, w, work / w.stem, channel) for w in made]
        for job in (python, *jobs):
            _report(job.result())
    for package, tree in extras.make(_made(work / "extras")):
        _report(conda.write(package, tree, channel))
    shutil.rmtree(work)
    subprocess.run([sys.executable, "-c", INDEX, str(channel)], check=True)
    new.rename(folder)
    print(f"made in {time.monotonic() - started:.0f} s", flush=True)


def _python(base: Path, tree: Path, channel: Path) -> Path:
    package = interpreter.make(base, tree)
    interpreter.compile_all(base, tree)
    return conda.write(package, tree, channel)


def _wheel(base: Path, wheel: Path, tree: Path, channel: Path) -> Path:
    package = wheels.make(wheel, tree)
    if not package.noarch:
        interpreter.compile_all(base, tree)
    return conda.write(package, tree, channel)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _report(file: Path) -> None:
    print(f"  {file.parent.name}/{file.name}  {file.stat().st_size / 1e6:.1f} MB", flush=True)
