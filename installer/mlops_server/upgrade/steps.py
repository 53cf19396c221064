"""From a drained Airflow to a saved and stopped one, and the end of an upgrade that went well."""

import os
import time
from contextlib import suppress
from dataclasses import asdict

from mlops_server import database, jsontext, rights
from mlops_server.errors import EnvError
from mlops_server.layout import Layout
from mlops_server.upgrade import drain, files, generations, services, tasks
from mlops_server.upgrade.state import Say, State, Store, write

BEFORE, FAILED = "airflow_before", "airflow_failed"
"""Databases: the saved one, and the one that was given up."""


def begin(layout: Layout, say: Say, *, kill: bool) -> None:
    """Stop Airflow and save its database and files; from then on everything may be changed.

    `kill`: do not wait for tasks. Raises `EnvError`; the guard then starts everything again.
    """
    store = Store(layout)
    state = store.opened()
    try:
        drain.room(layout)
        stop(store, state, say, kill=kill)
        save(store, say)
        store.opened()
        state.phase = "open"
        store.save(state)
    except (EnvError, OSError) as error:
        fail(store, f"saving failed: {error}")
        raise


def stop(store: Store, state: State, say: Say, *, kill: bool) -> None:
    """Stop everything of Airflow, and remember what ran."""
    state.units, state.phase = services.running(), "stopping"
    if not state.units:
        raise EnvError(
            "no unit of Airflow runs", fix="`systemctl start airflow.target` starts them"
        )
    store.save(state)
    state.stopped = services.stop(say, kill=kill)
    store.save(state)


def save(store: Store, say: Say) -> None:
    """Dump the database, prove the dump in a second database, and archive the files."""
    for name in (BEFORE, FAILED):
        database.drop(name)
    began = time.monotonic()
    dumped = database.dump(store.dump)
    size = store.dump.stat().st_size
    say(f"dumped the database ({size >> 10} KiB, {time.monotonic() - began:.1f} s)")
    prove(store, dumped, say)
    size = files.save(store.layout, store.folder / "files.tar")
    say(f"saved the files ({size >> 10} KiB)")


def prove(store: Store, wanted: database.Fingerprint, say: Say) -> None:
    """Load the dump as a second database and compare every table. Raises `EnvError`."""
    began = time.monotonic()
    database.load(store.dump, BEFORE)
    rights.give(BEFORE, rights.read(database.NAME))
    unlike = database.differences(wanted, database.fingerprint(BEFORE))
    if unlike:
        raise EnvError(
            f"the dump does not give back what was dumped: {', '.join(unlike)} differ",
            fix=f"see {store.layout.upgrade_log}",
        )
    seconds = time.monotonic() - began
    say(f"restored the dump into {BEFORE}: all {len(wanted)} tables and sequences are alike"
        f" ({seconds:.1f} s)")  # fmt: skip
    about = {"fingerprint": wanted, "runs": tasks.runs()}
    write(store.folder / "saved.json", about)


def fail(store: Store, reason: str) -> None:
    """Note why the upgrade is given up, for the guard to tell."""
    with suppress(EnvError, OSError):
        state = store.load()
        if state and not state.reason and not store.abandoned.exists():
            state.reason = reason
            store.save(state)


def commit(layout: Layout, say: Say) -> None:
    """The new version stays."""
    store = Store(layout)
    state = store.opened()
    if state.phase != "open":
        raise EnvError(f"the upgrade is {state.phase}", fix=f"see {layout.upgrade_log}")
    state.phase = "committing"
    store.save(state)
    committed(store, state, say)


def committed(store: Store, state: State, say: Say) -> None:
    """Finish a commit; may be broken off and repeated."""
    tasks.set_paused(state.paused, paused=False)
    store.previous.mkdir(mode=0o700, exist_ok=True)
    for name in ("airflow.dump", "files.tar"):
        if (store.folder / name).exists():
            (store.folder / name).replace(store.previous / name)
    saved = store.folder / "saved.json"
    if saved.exists():
        about = jsontext.loads(saved.read_text()) | asdict(state) | {"schema": True}
        write(store.previous / "about.json", about)
        saved.unlink()
    database.drop(BEFORE)
    seconds = store.downtime(state)
    say(f"Airflow {state.new} is in force" + (f"; down for {seconds:.0f} s" if seconds else ""))
    store.end(state, "done", f"Airflow {state.old} became {state.new}")


def note(layout: Layout, new: str) -> None:
    """Note a rolling upgrade, which leaves the database as it is, for `rollback airflow`."""
    store = Store(layout)
    store.previous.mkdir(mode=0o700, parents=True, exist_ok=True)
    store.folder.chmod(0o700)
    state = State(drain.version(layout), new, began=time.time())
    if state.old == new:
        return
    for name in ("airflow.dump", "files.tar"):
        (store.previous / name).unlink(missing_ok=True)
    about = {"schema": False, "runs": tasks.runs(), "generation": generations.current(layout).name}
    write(store.previous / "about.json", asdict(state) | about)
    os.sync()
