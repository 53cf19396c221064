"""The guard: when the run that upgrades is gone, it goes back. Runs as a service of systemd."""

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mlops_server.layout import Layout
from mlops_server.upgrade import back, services
from mlops_server.upgrade.state import Log, Store

LOOK_EVERY = 0.25
FIRST = "taking over"


def guard(layout: Layout, log: Log) -> None:
    """Wait until nobody holds the run lock, then bring the upgrade to an end if it is open."""
    store = Store(layout)
    layout.run.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (layout.run / "lock").open("a") as lock, (layout.run / "busy").open("a") as busy:
        while not _taken(lock.fileno()):
            if not store.path.exists():
                return
            _measure(store)
            time.sleep(LOOK_EVERY)
        if not store.path.exists():
            return
        (layout.run / "holder").write_text("the guard of an upgrade that goes back\n")
        store.free()
        store.abandoned.touch()
        log(FIRST)
        # A command of the dead run may still be at work, such as the migration.
        fcntl.flock(busy, fcntl.LOCK_EX)
        back.back(store, log)


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _measure(store: Store) -> None:
    """Note when the new version answers for the first time."""
    state = store.load()
    if state and state.phase == "open" and not store.answered.exists() and services.answers():
        store.answered.write_text(str(time.time()))


def recover(layout: Layout, log: Log) -> None:
    """At boot, before Airflow starts: database and files go back; systemd starts, guard ends."""
    store = Store(layout)
    if store.path.exists():
        store.free()
        store.abandoned.touch()
        log("the server came up while an upgrade was open")
        back.back(store, log, boot=True)


def watch(layout: Layout, say: Callable[[str], None], timeout: float) -> bool:
    """Show what the guard does until the upgrade is at an end; False when it takes too long."""
    store = Store(layout)
    state = store.load()
    if state is None:
        return True
    until = time.monotonic() + timeout
    with _following(layout.upgrade_log, state.log) as lines:
        while time.monotonic() < until:
            there = store.path.exists()
            for line in lines():
                _, _, text = line.partition(" guard: ")
                if text:
                    say(text)
            if not there:
                return True
            time.sleep(LOOK_EVERY)
    return False


@contextmanager
def _following(path: Path, start: int) -> Iterator[Callable[[], list[str]]]:
    with path.open() as file:
        file.seek(start)
        yield lambda: [line.rstrip("\n") for line in file.readlines()]
