"""The environments of one model on disk: links, build folders, history and the build lock."""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mlops_server.disk import point
from mlops_server.errors import EnvError
from mlops_server.layout import MODEL_NAME, Layout, lock_hash

LOCK_HASH = re.compile(r"[0-9a-f]{12}")
RUBBISH = ".rubbish-"
"""How the name of something begins that was put out of the way and is being deleted."""


@dataclass(frozen=True)
class Model:
    """One model's folder of environments."""

    layout: Layout
    name: str

    @property
    def folder(self) -> Path:
        """Where the links are."""
        return self.layout.envs / self.name

    @property
    def builds(self) -> Path:
        """Where the real prefixes are."""
        return self.folder / "builds"

    @property
    def locks(self) -> Path:
        """What to build from, a folder per lock hash."""
        return self.layout.locks / self.name

    def link(self, lock: str) -> Path:
        """The link whose existence says that the environment of this lock is ready."""
        return self.folder / lock

    def prefix(self, lock: str) -> Path | None:
        """The real path of a lock's environment, or None when there is none."""
        link = self.link(lock)
        return link.resolve() if link.is_symlink() and link.exists() else None

    def links(self) -> list[str]:
        """The lock hashes that have a link, even one that leads nowhere."""
        found = os.scandir(self.folder) if self.folder.is_dir() else ()
        return sorted(e.name for e in found if LOCK_HASH.fullmatch(e.name) and e.is_symlink())

    def known(self) -> list[str]:
        """The lock hashes that should be there: those with a link, and the current one."""
        current = self.current()
        return sorted({*self.links(), *([current] if current else [])})

    def folders(self) -> list[Path]:
        """Every build folder by its real path; not the ones that are being deleted."""
        found = self.builds.resolve().iterdir() if self.builds.is_dir() else ()
        return sorted(p for p in found if not p.name.startswith(RUBBISH))

    def unlinked(self) -> list[Path]:
        """Build folders that no link points to: half made, or replaced by a repair."""
        linked = {(self.folder / os.readlink(self.link(lock))).name for lock in self.links()}
        return [path for path in self.folders() if path.name not in linked]

    def current(self) -> str | None:
        """The lock hash in force, or None."""
        try:
            return os.readlink(self.folder / "current")
        except FileNotFoundError:
            return None

    def history(self) -> list[str]:
        """Lock hashes that were in force, the latest first, each once."""
        try:
            lines = (self.folder / "history").read_text().splitlines()
        except FileNotFoundError:
            return []
        return list(dict.fromkeys(line.split()[-1] for line in reversed(lines) if line.split()))

    def new_build(self, lock: str) -> Path:
        """Make the next build folder of a lock and say its absolute real path."""
        self.builds.mkdir(parents=True, exist_ok=True)
        numbers = [path.name.rpartition(".") for path in self.folders()]
        last = max((int(n) for base, _, n in numbers if base == lock and n.isdigit()), default=0)
        path = self.builds.resolve() / f"{lock}.{last + 1}"
        path.mkdir(mode=0o755)
        return path

    def finish(self, prefix: Path, lock: str) -> None:
        """Switch the link of a lock to its finished build."""
        point(self.link(lock), f"builds/{prefix.name}")

    def activate(self, lock: str) -> None:
        """Move `current` to a lock, and note when. Raises `EnvError` when it is not built."""
        if self.prefix(lock) is None:
            raise EnvError(
                f"{self.name}: {lock} is not built",
                fix=f"`mlops env build {self.name} {lock}` builds it",
            )
        if self.current() == lock:
            return
        # Noted first: a line too many is harmless, one too few loses the way back.
        with (self.folder / "history").open("a") as history:
            history.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {lock}\n")
            history.flush()
            os.fsync(history.fileno())
        point(self.folder / "current", lock)

    @contextmanager
    def held(self, *, wait: bool = True) -> Iterator[bool]:
        """Hold the model's build lock; yields False when somebody else does and wait is False."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with held(self.folder / ".lock", wait=wait) as mine:
            yield mine


@contextmanager
def held(path: Path, *, shared: bool = False, wait: bool = True) -> Iterator[bool]:
    """Hold an flock on a file that is made when missing; yields whether we have it.

    Ours only: whoever may open a file may lock it, and so keep builds from starting.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(descriptor, kind | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def models(layout: Layout) -> list[Model]:
    """Every model that has a folder, by name."""
    found = layout.envs.iterdir() if layout.envs.is_dir() else ()
    names = sorted(p.name for p in found if MODEL_NAME.fullmatch(p.name) and p.is_dir())
    return [Model(layout, name) for name in names]


def find(layout: Layout, name: str) -> Model:
    """The model of this name with an environment or a lock. Raises `EnvError`."""
    model = Model(layout, name)
    if MODEL_NAME.fullmatch(name) and (model.links() or model.locks.is_dir()):
        return model
    names = [found.name for found in models(layout) if found.links()]
    known = f"there are {', '.join(names)}" if names else "there are none yet"
    raise EnvError(f"there is no model {name!r}", fix=f"name one that exists; {known}")


def find_current(layout: Layout, name: str) -> tuple[Model, str, Path]:
    """A model, the lock in force and its real prefix. Raises `EnvError`."""
    model = find(layout, name)
    lock = model.current()
    prefix = model.prefix(lock) if lock else None
    if lock is None or prefix is None:
        raise EnvError(f"{name} has no current environment", fix="`mlops-install apply` builds it")
    return model, lock, prefix


def read_source(model: Model, lock: str) -> Path:
    """The folder to build a lock from; its name must be the hash. Raises `EnvError`."""
    folder = model.locks / lock
    fix = "`mlops-install apply` puts it there"
    try:
        found = lock_hash((folder / "conda-lock.yml").read_bytes())
    except FileNotFoundError:
        raise EnvError(f"{folder}/conda-lock.yml is missing", fix=fix) from None
    if found != lock:
        raise EnvError(f"{folder}/conda-lock.yml is another one: its hash is {found}", fix=fix)
    if not (folder / "environment.yml").is_file():
        raise EnvError(f"{folder}/environment.yml is missing", fix=fix)
    return folder
