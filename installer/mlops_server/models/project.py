"""The models of a project: models/<name>/ with environment.yml, conda-lock.yml and model.toml.

Cheap and offline: every plan reads them, and neither conda-lock nor rattler is imported.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlops_server.layout import MODEL_NAME, ModelOptions, lock_hash, parse_options
from mlops_server.models import ProjectError, environment, locks, reading, sources, stamp


@dataclass(frozen=True)
class Source:
    """What a lock is made from; `where` is how environment.yml is called in messages.

    `cuda` is the one of model.toml, or else the server's.
    """

    name: str
    folder: Path
    environment: bytes
    digest: str
    channels: tuple[str, ...]
    options_text: bytes
    options: ModelOptions
    cuda: str | None

    @property
    def where(self) -> str:
        """How environment.yml is called in messages."""
        return f"models/{self.name}/environment.yml"

    @property
    def lock_path(self) -> Path:
        """Where the lock is, or will be."""
        return self.folder / "conda-lock.yml"

    def lock(self) -> bytes | None:
        """The lock, where there is one."""
        return _read(self.lock_path)

    def stale(self, lock: bytes | None, platforms: Sequence[str]) -> str:
        """Why the lock is not the one of this source for these platforms; empty: it is."""
        if lock is None:
            return "there is no conda-lock.yml"
        try:
            head = stamp.head(lock)
        except ValueError as error:
            return f"conda-lock.yml cannot be read: {error}"
        if not head.digest:
            return "conda-lock.yml was not made by `mlops-install lock`"
        if head.digest != self.digest:
            return "environment.yml was changed after conda-lock.yml was made"
        if head.cuda != self.cuda:
            return f"conda-lock.yml is for {_cuda(head.cuda)}, wanted is {_cuda(self.cuda)}"
        missing = [platform for platform in platforms if platform not in head.platforms]
        if missing:
            return f"conda-lock.yml has no packages for {', '.join(missing)}"
        if head.whole:
            return ""
        flaw = locks.reason(lock, head.platforms)  # parses all of it, which takes its time
        changed = head.whole is False
        return flaw or ("conda-lock.yml was changed after it was made" if changed else "")


def _cuda(version: str | None) -> str:
    return f"CUDA {version}" if version else "CPUs"


@dataclass(frozen=True)
class Model:
    """A model that can be built: its files as they are at the moment."""

    name: str
    lock: bytes
    environment: bytes
    options_text: bytes
    options: ModelOptions
    lock_hash: str
    platforms: tuple[str, ...]


def read(
    folder: Path,
    cuda: str | None = None,
    among: Collection[str] | None = None,
    allowed: Collection[str] | None = None,
) -> tuple[Model, ...]:
    """The models of a project with their locks; `cuda` is the server's.

    `among` are the models that count, where some are left out of the release. `allowed` is how the
    addresses of packages may begin.

    Raises `ProjectError` for the first model that cannot be built.
    """
    wanted = (name for name in names(folder) if among is None or name in among)
    return tuple(_model(source(folder, name, cuda), allowed) for name in wanted)


def _model(source: Source, allowed: Collection[str] | None) -> Model:
    lock = source.lock()
    if lock is None or (reason := source.stale(lock, ())):
        reason = "there is no conda-lock.yml" if lock is None else reason
        raise ProjectError(
            f"models/{source.name}: {reason}", fix=f"run `mlops-install lock {source.name}`"
        )
    if allowed is not None and (why := sources.refused(sources.addresses(lock), allowed)):
        raise ProjectError(f"models/{source.name}/conda-lock.yml: {why}", fix=sources.FIX)
    return Model(
        source.name,
        lock,
        source.environment,
        source.options_text,
        source.options,
        lock_hash(lock),
        stamp.head(lock).platforms,
    )


def names(folder: Path) -> tuple[str, ...]:
    """The names of the folders below models/, sorted. Raises `ProjectError`."""
    if not folder.is_dir():
        raise ProjectError(f"there is no folder {folder}", fix="correct [workflows] path")
    models = folder / "models"
    found = (
        sorted(path.name for path in models.iterdir() if path.is_dir()) if models.is_dir() else []
    )
    return tuple(name for name in found if not name.startswith((".", "__")))


def source(folder: Path, name: str, cuda: str | None) -> Source:
    """Read what the lock of a model is made from. Raises `ProjectError`."""
    if not MODEL_NAME.fullmatch(name):
        raise ProjectError(
            f"models/{name}: a model cannot have this name",
            fix="rename it: up to 63 of a-z, 0-9, _ and -, a letter first, and neither builds nor"
            " current",
        )
    model, where = folder / "models" / name, f"models/{name}/environment.yml"
    data = _read(model / "environment.yml")
    if data is None:
        fix = f"write it, or move models/{name} elsewhere"
        if (model / "environment.yaml").exists():
            fix = f"rename models/{name}/environment.yaml to environment.yml"
        raise ProjectError(f"{where} is missing", fix=fix)
    found = environment.parse(data, where)
    text = _read(model / "model.toml") or b""
    options = _options(text, f"models/{name}/model.toml")
    channels = tuple(channel for channel in found["channels"] if channel != "nodefaults")
    digest = environment.digest(data, found)
    return Source(name, model, data, digest, channels, text, options, options.cuda or cuda)


def _options(text: bytes, where: str) -> ModelOptions:
    try:
        return parse_options(reading.text(text))
    except (ValueError, RecursionError) as error:
        raise ProjectError(f"{where}: {error}", fix="correct that setting") from error


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ProjectError(
            f"cannot read {path}: {error.strerror}", fix="correct the rights of the file"
        ) from error
