"""conda-lock.yml of each model: made and refreshed by conda-lock with a solver of our own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import SecretStr


@dataclass(frozen=True)
class LockOptions:
    """How to lock.

    `update` are packages to bring to their newest versions, or `*` for all; `conda` is another
    solver's executable; `mirrors` is channel name or URL -> URL; `pypi_names` is the path or URL
    of a map instead of the shipped one; `python_index` is a URL, maybe with a login; `allowed` is
    how the addresses of packages may begin.
    """

    platforms: tuple[str, ...] = ("linux-64",)
    cuda: str | None = None
    update: tuple[str, ...] = ()
    check: bool = False
    conda: str | None = None
    mirrors: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    password: "SecretStr | None" = None
    pypi_names: str | None = None
    python_index: str | None = field(default=None, repr=False)
    allowed: Sequence[str] | None = None


def run(project: Path, models: Sequence[str], options: LockOptions) -> int:
    """Lock the models of a project, or all; the exit code is 2 when a check finds a stale lock.

    Raises `ConfigError` and `MlopsError`; a lock that failed to be made leaves the old one.
    """
    from mlops_install.lock import check, locking
    from mlops_install.lock import project as projects

    sources = [
        projects.source(project, name, options.cuda) for name in projects.select(project, models)
    ]
    for source in sources:
        locking.judge_channels(source, options)
    return (check.run if options.check else locking.run)(sources, options)
