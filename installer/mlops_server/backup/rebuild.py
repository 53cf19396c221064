"""After a restore: environments of the models, and models in service, as far as they are missing.

Needs the network; what cannot be built or deployed is said, and nothing else fails.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlops_server import jsontext
from mlops_server.backup import folder, restore
from mlops_server.errors import EnvError
from mlops_server.layout import Layout
from mlops_server.services.records import Records
from mlops_server.store import Model

Say = Callable[[str], None]


def rebuild(layout: Layout, user: str | None, say: Say) -> int:
    """Build and deploy what is missing; 2 when something could not be."""
    problems = [*_data(layout), *environments(layout, say), *services(layout, say)]
    for problem in problems:
        say(problem)
    restore.discard(layout)
    return 2 if problems else 0


def _data(layout: Layout) -> Iterator[str]:
    """What `restore` could not bring back of the data folder."""
    with suppress(FileNotFoundError):
        missing = (folder.stage(layout) / restore.MISSING).read_text()
        yield f"{missing}; restore the same backup again"


def environments(layout: Layout, say: Say) -> Iterator[str]:
    """Build the environments of the release in force; yields what could not be."""
    from mlops_server.build import build
    from mlops_server.workflows import activation

    release = layout.current_release.resolve()
    for name, lock in activation.copy_locks(layout, release).items():
        model = Model(layout, name)
        try:
            if model.prefix(lock) is None:
                build(layout, name, lock, say)
            if model.current() is None:
                model.activate(lock)
        except EnvError as error:
            yield f"environment {name} {lock}: {error.message}; `mlops env build {name} {lock}`"


def services(layout: Layout, say: Say) -> Iterator[str]:
    """Deploy the models that were in service and are not; yields those that could not be."""
    from mlops_server.services import manage
    from mlops_server.services.systemd import Systemd

    for name, record in in_service(folder.stage(layout) / "services").items():
        if Records(layout).current(name) is not None:
            continue
        wanted = (
            record["model"],
            Path(record["release"]).name,
            Path(record["folder"]),
            record["threads"],
        )
        try:
            manage.deploy(layout, Systemd(), name, wanted, say)
        except EnvError as error:
            yield f"service {name} is not back: {error.message}; it served {record['folder']}"


def in_service(records: Path) -> dict[str, dict[str, Any]]:
    """Service -> the record of the instance that was in force, from a folder of records."""
    found = {}
    for link in sorted(records.glob("*.sock")) if records.is_dir() else ():
        path = records / f"{Path(os.readlink(link)).stem}.json"
        if path.is_file():
            found[link.stem] = jsontext.loads(path.read_bytes())
    return found
