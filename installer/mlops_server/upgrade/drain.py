"""Let the tasks at work come to their end while nothing new starts."""

import re
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlops_server import database
from mlops_server.errors import EnvError
from mlops_server.layout import Layout
from mlops_server.upgrade import services, tasks
from mlops_server.upgrade.state import Say, State, Store

DRAINED, OUTLAST = 0, 3
"""Exit codes: nothing is at work any more; some tasks outlast the time."""
TOLD_EVERY = 15.0
STEADY = 2
"""How many looks in a row must find nothing: a scheduler may be about to start a task."""
FOLDERS = ("var/lib/mlops/upgrade", "var/lib/postgresql")
SPARE = 256 << 20
LOG_BYTES = 8 << 20
"""When the log of upgrades becomes its .1, of which there is one."""


@dataclass(frozen=True)
class Wish:
    """What the installer asks for; `timeout` in seconds, None to wait without end."""

    new: str
    timeout: float | None
    kind: str = "upgrade"


def version(layout: Layout) -> str:
    """The version of the generation in force; empty when there is none."""
    path = layout.root / "opt/mlops/airflow/current/requirements.txt"
    found = re.search(r"^apache-airflow==([^\s;\\]+)", path.read_text(), re.M)
    return found[1] if found else ""


def drain(layout: Layout, wish: Wish, say: Say) -> int:
    """Pause what is not paused, and wait until nothing is at work: DRAINED or OUTLAST.

    Everything keeps running, and the guard unpauses again should nobody go on from here.
    """
    store = Store(layout)
    state = store.load()
    if state is None:
        room(layout)
        state = State(version(layout), wish.new, began=time.time(), kind=wish.kind,
                      log=_log_size(layout.upgrade_log))  # fmt: skip
        store.save(state)
    services.start_guard()
    until = time.monotonic() + (float("inf") if wish.timeout is None else wish.timeout)
    told, quiet = -TOLD_EVERY, 0
    while quiet < STEADY:
        state = store.opened()
        pause(store, state, say)
        left = tasks.active()
        quiet = 0 if left else quiet + 1
        if left and time.monotonic() >= until:
            say("\n".join(f"still at work: {task}" for task in left))
            return OUTLAST
        if left and time.monotonic() - told > TOLD_EVERY:
            say("\n".join(["waiting for:", *(f"  {task}" for task in left)]))
            told = time.monotonic()
        time.sleep(1)
    say("drained: no task is at work")
    return DRAINED


def _log_size(log: Path) -> int:
    """Where this upgrade's lines begin; a log that has grown long makes room first."""
    with suppress(FileNotFoundError):
        if log.stat().st_size <= LOG_BYTES:
            return log.stat().st_size
        log.replace(log.with_name(f"{log.name}.1"))
    return 0


def pause(store: Store, state: State, say: Say) -> None:
    """Pause the DAGs that are not, and remember which; also those that came meanwhile."""
    found = tasks.unpaused()
    if not found:
        return
    state.paused = sorted({*state.paused, *found})
    store.save(state)
    tasks.set_paused(found, paused=True)
    say(f"paused for the upgrade: {', '.join(found)}")


def room(layout: Layout) -> None:
    """Raise `EnvError` unless the folders have room for a dump and a second database."""
    import shutil

    needed = round(database.size() * 1.3) + SPARE
    for folder in FOLDERS:
        path = layout.root / folder
        path.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(path).free
        if free < needed:
            raise EnvError(
                f"{path}: {free >> 20} MiB free; saving Airflow's database first needs"
                f" {needed >> 20} MiB",
                fix=f"make room at {path}, then run the same command again; nothing was changed",
            )
