"""The models of a project on this side: models/<name>/ with environment.yml, conda-lock.yml and
model.toml.

Cheap and offline: every plan reads them, and neither conda-lock nor rattler is imported.
"""

from collections.abc import Collection, Sequence
from pathlib import Path

from mlops_server.models import project as shared
from mlops_server.models.project import Source

from mlops_install.errors import ConfigError, translated

__all__ = ["Model", "Source", "names", "read", "select", "source"]


class Model(shared.Model):
    """A model that can be built: its files as they are at the moment."""

    def require(self, platform: str) -> None:
        """Raise `ConfigError` when the lock has no packages for a platform."""
        if platform not in self.platforms:
            raise ConfigError(
                f"models/{self.name}/conda-lock.yml has no packages for {platform}",
                fix=f'add "{platform}" to [models] platforms, then `mlops-install lock'
                f" {self.name}`",
            )


def read(
    folder: Path,
    cuda: str | None = None,
    among: Collection[str] | None = None,
    allowed: Collection[str] | None = None,
) -> tuple[Model, ...]:
    """The models of a project with their locks; `cuda` is the server's.

    `among` are the models that count, where some are left out of the release. `allowed` is how the
    addresses of packages may begin.

    Raises `ConfigError` for the first model that cannot be built.
    """
    with translated():
        return tuple(Model(**vars(model)) for model in shared.read(folder, cuda, among, allowed))


def names(folder: Path) -> tuple[str, ...]:
    """The names of the folders below models/, sorted. Raises `ConfigError`."""
    with translated():
        return shared.names(folder)


def select(folder: Path, wanted: Sequence[str]) -> tuple[str, ...]:
    """The models asked for, or all. Raises `ConfigError` for one that is not there."""
    there = names(folder)
    for name in wanted:
        if name not in there:
            known = f"there are {', '.join(there)}" if there else "there are no models"
            raise ConfigError(f"there is no model {name} in {folder / 'models'}", fix=known)
    if not there:
        raise ConfigError(
            f"there are no models in {folder / 'models'}",
            fix="write models/NAME/environment.yml, or name the project by --project",
        )
    return tuple(dict.fromkeys(wanted)) or there


def source(folder: Path, name: str, cuda: str | None) -> Source:
    """Read what the lock of a model is made from. Raises `ConfigError`."""
    with translated():
        return shared.source(folder, name, cuda)
