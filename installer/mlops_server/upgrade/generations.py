"""Old generations of Airflow's environment: what nothing can need any more goes."""

import shutil
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mlops_server import inuse, jsontext
from mlops_server.layout import Layout
from mlops_server.upgrade.state import Say, Store

CURRENT = "opt/mlops/airflow/current"


def current(layout: Layout) -> Path:
    """The generation in force."""
    return (layout.root / CURRENT).resolve()


def clean(layout: Layout, say: Say) -> None:
    """Keep the generation in force, those that can be gone back to, and those that run.

    For the end of an upgrade that went well; hold the run lock. Raises `OSError`.
    """
    now = current(layout)
    needed = {now.name, *_saved(Store(layout))}
    for path in sorted(now.parent.iterdir()):
        if path.is_symlink() or not path.is_dir() or path.name in needed:
            continue
        if any(name.startswith(f"{path}/") for name in inuse.paths(path)):
            say(f"{path} is in use, left alone")
            continue
        # Without the mark a half-removed one is taken for no generation.
        (path / ".ready").unlink(missing_ok=True)
        shutil.rmtree(path)
        say(f"removed {path}, which nothing goes back to")


def _saved(store: Store) -> Iterator[str]:
    """The generations that a rollback goes back to, and an open upgrade if there is one."""
    for archive in (store.folder / "files.tar", store.previous / "files.tar"):
        with suppress(FileNotFoundError, KeyError), tarfile.open(archive) as tar:
            yield Path(tar.getmember(CURRENT).linkname).name
    with suppress(FileNotFoundError, KeyError):
        yield jsontext.loads((store.previous / "about.json").read_text())["generation"]
