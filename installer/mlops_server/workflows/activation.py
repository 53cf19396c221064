"""A release and its environments come into force; older ones go."""

import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from mlops_server import inuse
from mlops_server.disk import point, sync, write
from mlops_server.errors import EnvError
from mlops_server.layout import METADATA, MODEL_NAME, Layout, lock_hash
from mlops_server.store import RUBBISH, Model, held
from mlops_server.workflows.release import NEW, RELEASE
from mlops_server.workflows.state import Say, State, metadata

SOURCES = ("conda-lock.yml", "environment.yml", "model.toml")


def locks(release: Path) -> dict[str, str]:
    """Model -> hash of its lock, for a release."""
    found = {path.parent.name: path for path in release.glob("models/*/conda-lock.yml")}
    return {
        name: lock_hash(path.read_bytes())
        for name, path in sorted(found.items())
        if MODEL_NAME.fullmatch(name)
    }


def copy_locks(layout: Layout, release: Path) -> dict[str, str]:
    """Put the locks of a release where builds look for them; model -> lock hash.

    One command at a time: `sync` by hand and the DAG's own build may do it side by side. What is
    there is compared, for another release may have the same lock with another model.toml. Raises
    `EnvError`.
    """
    found = locks(release)
    layout.locks.mkdir(parents=True, exist_ok=True)
    with held(layout.locks / ".lock"):
        for name, lock in found.items():
            sources = {source: _source(release, name, source) for source in SOURCES}
            _copy_lock(layout.locks / name / lock, sources)
    return found


def _source(release: Path, name: str, source: str) -> bytes:
    path = release / "models" / name / source
    return path.read_bytes() if path.is_file() else b""


def _copy_lock(folder: Path, sources: dict[str, bytes]) -> None:
    there = {name: _content(folder / name) for name in sources}
    lock = SOURCES[0]
    if there[lock] and there[lock] != sources[lock]:
        raise EnvError(
            f"{folder} holds another lock, whose digest begins with the same digits, or a damaged"
            " one",
            fix=f"remove {folder}, run the same command again; if it comes back, lock the model",
        )
    if all(data is not None for data in there.values()):
        for name, data in sources.items():
            if there[name] != data:
                write(folder / name, data, 0o644)
        return
    fresh = folder.with_name(f"{NEW}{folder.name}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for name, data in sources.items():
        write(fresh / name, data, 0o644)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
    sync(folder.parent)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def switch(layout: Layout, release: Path) -> None:
    """Bring a release into force: environments first, then the link, each by one rename.

    Raises `EnvError`, and changes nothing, when an environment is not built.
    """
    wanted = locks(release)
    for name, lock in wanted.items():
        if Model(layout, name).prefix(lock) is None:
            raise EnvError(
                f"the environment of model {name} ({lock}) is not built",
                fix=f"`mlops env build {name} {lock}` builds it",
            )
    for name, lock in wanted.items():
        Model(layout, name).activate(lock)
    point(layout.current_release, f"releases/{release.name}")
    _touch(release)


def _touch(release: Path) -> None:
    """Airflow parses at once what is newer than its last look, and keeps old code otherwise."""
    for path in (*(release / "dags").rglob("*"), release):
        if stat.S_ISREG(path.lstat().st_mode) or path == release:
            os.utime(path)


def forced(layout: Layout) -> str | None:
    """The name of the release folder in force."""
    try:
        return Path(os.readlink(layout.current_release)).name
    except FileNotFoundError:
        return None


def kept(layout: Layout, state: State) -> list[Path]:
    """Releases to go back to, the one that was in force last first.

    Those of Git in the order of the history, whatever the clock said. Those of
    `mlops-install apply` have none: they were touched when they came into force, and stand between
    the others by that time.
    """
    numbers = {entry["commit"]: n for n, entry in enumerate(state.history)}
    pulled: list[tuple[int, Path]] = []
    given: list[tuple[str, Path]] = []
    for path in releases(layout):
        commit = metadata(path).get("commit")
        if commit in numbers:
            pulled.append((numbers[commit], path))
        elif commit is None:
            time = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            given.append((f"{time:%Y-%m-%dT%H:%M:%SZ}", path))
    by_number = ((state.history[n]["at"], path) for n, path in sorted(pulled, reverse=True))
    merged = _merged(list(by_number), sorted(given, reverse=True))
    return [path for path in merged if path.name != forced(layout)]


def _merged(one: list[tuple[str, Path]], other: list[tuple[str, Path]]) -> Iterator[Path]:
    """Two lists as one, by time as far as each list's own order allows."""
    while one or other:
        first = one if one and (not other or one[0][0] >= other[0][0]) else other
        yield first.pop(0)[1]


def releases(layout: Layout) -> list[Path]:
    """The release folders, by name; not the empty one of a new server."""
    found = layout.releases.iterdir() if layout.releases.is_dir() else ()
    return sorted(p for p in found if RELEASE.fullmatch(p.name) and p.is_dir())


def earlier(layout: Layout, state: State, wanted: str | None) -> str:
    """The commit to go back to, by its first digits or else the one before.

    Only what was in force, and so passed the gate, counts. Raises `EnvError`.
    """
    known = dict.fromkeys(entry["commit"] for entry in reversed(state.history))
    there = [commit for commit in known if (layout.releases / commit[:12]).is_dir()]
    if wanted is None:
        before = [state.returning] if state.returning else state.before()
        found = [commit for commit in before if commit in there][:1]
        problem = "there is no earlier release to go back to"
    else:
        found = [commit for commit in there if len(wanted) > 3 and commit.startswith(wanted)]
        problem = f"there is no release {wanted!r} that was in force"
    if len(found) == 1:
        return found[0]
    names = ", ".join(commit[:12] for commit in there) or "none"
    raise EnvError(problem, fix=f"name one of {names}, or push a commit that is as it was before")


def clean(layout: Layout, state: State, keep: int, spared: set[str], say: Say) -> list[Path]:
    """Put releases that nobody needs out of the way; the folders that are now to be deleted.

    The one in force, the candidate, the held one, `keep` others, the `spared` and those in use
    stay.
    """
    named = {commit[:12] for commit in (state.active, state.candidate, state.held) if commit}
    wanted = named | spared | {path.name for path in kept(layout, state)[:keep]}
    if name := forced(layout):
        wanted.add(name)
    old = [path for path in releases(layout) if path.name not in wanted]
    used = inuse.paths(layout.releases) if old else set()
    for path in old:
        with inuse.claimed(path, used, METADATA) as free:
            if free:
                path.rename(path.with_name(f"{RUBBISH}{path.name}"))
                say(f"release {path.name} removed")
            else:
                say(f"release {path.name} is in use, left alone")
    return list(layout.releases.glob(f"{RUBBISH}*"))


def remove(paths: Iterable[Path]) -> None:
    """Delete folders that are out of the way."""
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)
