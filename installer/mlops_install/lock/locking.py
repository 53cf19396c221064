"""Make locks: conda-lock works aside, and its result is moved into place when it is good."""

import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mlops_server.models import sources

from mlops_install import report
from mlops_install.errors import ConfigError, MlopsError
from mlops_install.lock import LockOptions, contents, environment, failures, stamp, tools
from mlops_install.lock.children import Children
from mlops_install.lock.project import Source

SIDE_BY_SIDE = 2
EVERYTHING = "*"


def judge_channels(source: Source, options: LockOptions) -> None:
    """Raise `ConfigError` for a channel that the config does not allow, before a solver asks it."""
    if options.allowed is None:
        return
    named = [channel for channel in source.channels if "$" not in channel]
    if why := sources.refused(map(sources.address, named), options.allowed):
        raise ConfigError(f"{source.where}: {why}", fix=sources.FIX)


@dataclass(frozen=True)
class Job:
    """A lock to make: `update` are the packages to let go, `old` what stays as far as it can."""

    source: Source
    update: frozenset[str]
    old: bytes | None


def run(wanted: Sequence[Source], options: LockOptions) -> int:
    """Make the locks that are stale, and those with a package to update. Raises `MlopsError`."""
    jobs = _jobs(wanted, options)
    with tempfile.TemporaryDirectory(prefix="mlops-lock-") as folder:
        tools.virtual_packages(options.platforms, None)
        ready = tools.prepare(Path(folder), options, [job.source for job in jobs])
        with _children() as children, ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            work = [
                pool.submit(_lock, job, Path(folder) / job.source.name, ready, options, children)
                for job in jobs
            ]
            try:
                wait(work)
            except BaseException:
                children.stop()
                raise
    _raise(work)
    return 0


@contextmanager
def _children() -> Iterator[Children]:
    children = Children()
    try:
        yield children
    finally:
        children.stop()


def _raise(work: Sequence["Future[None]"]) -> None:
    """Raise the one failure, or all in one error."""
    problems = [problem for future in work if (problem := future.exception())]
    ours = [problem for problem in problems if isinstance(problem, MlopsError)]
    if len(ours) < 2 or len(ours) < len(problems):
        for problem in problems:
            raise problem
    if ours:
        parts = [f"{p.message}\n{p.detail}\nfix: {p.fix}\n" for p in ours]
        raise MlopsError(
            f"{len(ours)} models could not be locked",
            detail="\n".join(parts),
            fix="do what stands below each model, then run the same command again",
        )


# --- what to do ---------------------------------------------------------------------------


def _jobs(wanted: Sequence[Source], options: LockOptions) -> list[Job]:
    """What there is to do; what is up to date is said. Raises `ConfigError`."""
    update = frozenset(name.lower() for name in options.update)
    jobs: list[Job] = []
    known: set[str] = set()
    for source in wanted:
        old = source.lock()
        there = _names(old)
        known |= update & there
        stale = source.stale(old, options.platforms)
        if stale or EVERYTHING in update or update & there:
            jobs.append(
                Job(source, update, old if _may_stay(source, old, options, update) else None)
            )
        else:
            report.say(f"{source.name}: up to date")
    unknown = sorted(update - known - {EVERYTHING})
    if unknown and all(source.lock() for source in wanted):
        raise ConfigError(
            f"no lock has a package {' or '.join(unknown)}",
            fix="write the name as in conda-lock.yml",
        )
    return jobs


def _names(lock: bytes | None) -> set[str]:
    with suppress(ValueError):
        return {package["name"] for package in contents.packages(lock or b"")}
    return set()


def _may_stay(
    source: Source, old: bytes | None, options: LockOptions, update: frozenset[str]
) -> bool:
    """Whether what is locked already can be kept: of the same channels, builds and platforms."""
    if old is None or EVERYTHING in update:
        return False
    with suppress(ValueError):
        contents.kept(old, ())
        head = stamp.head(old)
        same = head.channels == source.channels and head.cuda == source.cuda
        return same and set(head.platforms) <= set(options.platforms)
    return False


# --- one lock -----------------------------------------------------------------------------


def _lock(
    job: Job, folder: Path, ready: tools.Tools, options: LockOptions, children: Children
) -> None:
    source, start = job.source, time.monotonic()
    report.say(f"{source.name}: locking for {', '.join(options.platforms)}")
    lock = _made(job, folder, ready, options, children)
    found = _read(source, lock)
    contents.judge(source, found, options.platforms, options.allowed)
    old, new = source.lock(), stamp.line(source.digest, source.cuda, lock).encode() + lock
    children.go_on()
    if new != old:
        _place(source.lock_path, new)
    seconds = time.monotonic() - start
    report.say(f"{source.name}: {len(found)} packages locked in {seconds:.1f} s")
    if changes := _changes(old, found):
        report.say(f"{source.name}: {changes}")


def _read(source: Source, lock: bytes) -> list[contents.Package]:
    try:
        return contents.packages(lock)
    except ValueError as error:
        raise MlopsError(
            f"models/{source.name}: conda-lock made a lock that the server cannot read: {error}",
            fix="ask for other versions of the package, and report it",
        ) from error


def _changes(old: bytes | None, found: list[contents.Package]) -> str:
    with suppress(ValueError):
        return contents.changes(contents.packages(old or b""), found) or "nothing changed"
    return ""


def _made(
    job: Job, folder: Path, ready: tools.Tools, options: LockOptions, children: Children
) -> bytes:
    """Run conda-lock in a folder of its own; its lock. Raises `MlopsError`."""
    source = job.source
    folder.mkdir()
    (folder / "environment.yml").write_bytes(source.environment)
    virtual = tools.virtual_packages(options.platforms, source.cuda)
    (folder / "virtual-packages.yml").write_text(virtual)
    words = [*ready.words, "lock", "--conda", ready.solver, "-f", "environment.yml"]
    words += ["--lockfile", "conda-lock.yml", "--virtual-package-spec", "virtual-packages.yml"]
    words += ["--pypi_to_conda_lookup_file", ready.names]
    for platform in options.platforms:
        words += ["-p", platform]
    failure = folder / "failure.json"
    own = {"MLOPS_CONDA_FAILURE": str(failure), "TMPDIR": str(folder)}
    if ready.ours:
        own |= _kept(job, folder)
    else:
        words += _updated(job, folder, options)
    code, output = children.run(words, folder, {**ready.environment, **own})
    if code == 0:
        return (folder / "conda-lock.yml").read_bytes()
    if failure.exists():
        raise failures.of_solver(source, json.loads(failure.read_text()))
    raise failures.of_condalock(source, output)


def _kept(job: Job, folder: Path) -> dict[str, str]:
    """Our solver keeps what it is told; conda-lock keeps the pip packages of a lock it finds."""
    if not job.old:
        return {}
    conda, pip = contents.kept(job.old, job.update)
    if pip:
        (folder / "conda-lock.yml").write_bytes(pip)
    (folder / "keep").write_text("\n".join(package["url"] for package in conda))
    update = " ".join(sorted(job.update))
    return {"MLOPS_CONDA_KEEP": str(folder / "keep"), "MLOPS_CONDA_UPDATE": update}


def _updated(job: Job, folder: Path, options: LockOptions) -> list[str]:
    """Another solver: conda-lock's own --update, which needs a lock of this environment.yml."""
    if not job.update or not job.old or job.source.stale(job.old, options.platforms):
        return []
    asked = {name for _, name, _ in environment.requests(job.source.environment)}
    if missing := sorted(job.update - asked):
        raise ConfigError(
            f"{job.source.where} does not ask for {', '.join(missing)}, which --conda needs",
            fix="ask for it there, or leave --conda out",
        )
    (folder / "conda-lock.yml").write_bytes(job.old)
    return [word for name in sorted(job.update) for word in ("--update", name)]


def _place(path: Path, data: bytes) -> None:
    """Write beside, then rename: there is the old lock or the new one, at every moment."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("xb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        beside.replace(path)
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}: {error.strerror}", fix="make the folder writable"
        ) from error
    finally:
        beside.unlink(missing_ok=True)
