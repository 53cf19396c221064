"""The way back: the old database and files, then everything runs as before.

Every step may be broken off anywhere, and repeated.
"""

from mlops_server import database
from mlops_server.systemctl import systemctl
from mlops_server.upgrade import files, services, tasks
from mlops_server.upgrade.state import Say, State, Store
from mlops_server.upgrade.steps import BEFORE, FAILED, committed

DIED = "the run ended before the upgrade did: the installer, its connection or the server died"
PATIENCE = 300
PREVIOUS = "previous/"
"""What is gone back to lies there when an upgrade that went well is undone later."""
NGINX = ("etc/nginx", "etc/systemd/system/nginx")


def back(store: Store, say: Say, *, boot: bool = False) -> None:
    """Bring an open upgrade to an end. At boot, what starts services is left for later."""
    state = store.load()
    if state is None:
        return
    store.free()
    state.reason = state.reason or DIED
    if state.phase == "committing":
        say("the new version had passed the verification: it stays")
        committed(store, state, say)
        return
    say(f"going back to Airflow {state.old}: {state.reason}")
    if state.phase == "draining":
        tasks.set_paused(state.paused, paused=False)
        say("nothing was stopped; DAGs that were paused run again")
        store.end(state, "given up", f"Airflow {state.old} went on all the time")
        return
    if state.phase != "starting":
        undo(store, state, say, boot=boot)
    if not boot:
        start(store, state, say)


def undo(store: Store, state: State, say: Say, *, boot: bool) -> None:
    """Put database and files back; nothing of Airflow runs meanwhile."""
    changed: list[str] = []
    if state.phase == "stopping":
        database.drop(BEFORE)
        say("the database was not touched yet")
    else:
        state.phase = "returning"
        store.save(state)
        if not boot:
            services.stop(say, kill=True)
        swap()
        say("the database is the one that was saved")
        later = state.files.startswith(PREVIOUS)
        changed = files.restore(store.layout, store.folder / state.files, later=later)
        say(f"{len(changed)} files are as they were saved")
        # At boot systemd has read the units already, and starts Airflow from what it read.
        systemctl("daemon-reload")
    state.phase = "starting"
    store.save(state)
    if not boot and any(name.startswith(NGINX) for name in changed):
        services.restart_proxy()


def swap() -> None:
    """Put the saved database in the place of the one in force, which is dropped."""
    if database.exists(BEFORE):
        if database.exists(database.NAME):
            database.drop(FAILED)
            database.rename(database.NAME, FAILED)
        database.rename(BEFORE, database.NAME)
    database.drop(FAILED)


def start(store: Store, state: State, say: Say) -> None:
    """Start what ran before, wait until it answers, and let DAGs run again."""
    last = services.last_job()
    services.start(state.units, say)
    left = services.wait(state.units, last, PATIENCE)
    tasks.set_paused(state.paused, paused=False)
    message = f"Airflow {state.old} runs again, with the database and files from before"
    if left:
        message += f"; after {PATIENCE} s no sign of life of {left} yet"
    if state.files.startswith(PREVIOUS):
        _forget(store)
    for name in ("airflow.dump", "files.tar", "saved.json"):
        (store.folder / name).unlink(missing_ok=True)
    say(message)
    store.end(state, "returned", message)


def _forget(store: Store) -> None:
    """What was gone back to is not gone back to twice."""
    for name in ("airflow.dump", "files.tar", "about.json"):
        (store.previous / name).unlink(missing_ok=True)
