"""Old generations of Airflow's environment: what nothing can need any more goes."""

import shutil
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mlops_server import inuse
from mlops_server.store import RUBBISH
from mlops_server.upgrade.state import Say, Store

CURRENT = "opt/mlops/airflow/current"


def clean(store: Store, say: Say) -> None:
    """Keep the one in force, what was made after it, what is gone back to, and what runs.

    Hold the run lock. Where one cannot be removed that is said, and the next time tries again.
    """
    current = (store.layout.root / CURRENT).resolve()
    if not current.is_dir():
        return
    needed = {current, *_saved(store)}
    found = [path for path in current.parent.iterdir() if path.is_dir() and not path.is_symlink()]
    for path in sorted(found):
        if path not in needed and (path.name.startswith(RUBBISH) or _made(path) < _made(current)):
            _remove(path, say)


def _saved(store: Store) -> Iterator[Path]:
    """The generations that saved files lead to."""
    for archive in (store.folder / "files.tar", store.previous / "files.tar"):
        with suppress(FileNotFoundError, KeyError), tarfile.open(archive) as tar:
            name = Path(tar.getmember(CURRENT).linkname).name
            yield (store.layout.root / CURRENT).resolve().with_name(name)


def _made(path: Path) -> float:
    mark = path / ".ready"
    return (mark if mark.exists() else path).stat().st_mtime


def _remove(path: Path, say: Say) -> None:
    """First out of the way by one rename: what is left of it is taken for no generation."""
    if any(name.startswith(f"{path}/") for name in inuse.paths(path)):
        say(f"{path} is in use, left alone")
        return
    aside = path.with_name(f"{RUBBISH}{path.name.removeprefix(RUBBISH)}")
    try:
        path.rename(aside)
        shutil.rmtree(aside)
        say(f"removed {path}, which nothing goes back to")
    except OSError as error:
        say(f"cannot remove {path}: {error}")
