"""Back to what was saved before the last upgrade that went well."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlops_server import database, jsontext, rights
from mlops_server.errors import EnvError
from mlops_server.layout import Layout
from mlops_server.upgrade import drain, files, steps, tasks
from mlops_server.upgrade.state import Say, Store

KEPT = 2
"""How many dumps of databases that a rollback replaced are kept."""


def previous(layout: Layout) -> dict[str, Any]:
    """What there is to go back to: old, new, schema, since, and the DAG runs made since then.

    Raises `EnvError` when there is nothing, or when it does not belong to the version in force.
    """
    about = _about(layout)
    since = datetime.fromtimestamp(about["stopped"] or about["began"], UTC)
    lost = max(tasks.runs() - about["runs"], 0)
    return {
        "old": about["old"], "new": about["new"], "schema": about["schema"],
        "since": since.isoformat(" ", "seconds"), "runs": lost,
    }  # fmt: skip


def _about(layout: Layout) -> dict[str, Any]:
    path = Store(layout).previous / "about.json"
    if not path.exists():
        raise EnvError(
            "there is no upgrade to go back from",
            fix="`mlops-install restore ARCHIVE` takes a backup",
        )
    about: dict[str, Any] = jsontext.loads(path.read_text())
    now = drain.version(layout)
    if now != about["new"]:
        raise EnvError(
            f"the last upgrade was to {about['new']}, and {now} is in force",
            fix="`mlops-install restore ARCHIVE` takes a backup",
        )
    return about


def begin(layout: Layout, say: Say, *, kill: bool) -> None:
    """Stop a drained Airflow, keep its database as a dump, and get the saved one ready.

    The guard does the rest when the run lock is free. Raises `EnvError`; the guard then starts
    everything again as it was.
    """
    store, about = Store(layout), _about(layout)
    state = store.opened()
    try:
        drain.room(layout)
        steps.stop(store, state, say, kill=kill)
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        kept = store.folder / f"airflow-{state.old}-{stamp}.dump"
        database.dump(kept)
        files.save(layout, kept.with_suffix(".tar"))
        say(f"the database of {state.old} is kept in {kept}, its files beside it")
        _forget_older(kept)
        for name in (steps.BEFORE, steps.FAILED):
            database.drop(name)
        database.load(store.previous / "airflow.dump", steps.BEFORE)
        rights.give(steps.BEFORE, rights.read(database.NAME))
        if database.differences(about["fingerprint"], database.fingerprint(steps.BEFORE)):
            raise EnvError(
                "the saved database has changed since it was saved",
                fix="`mlops-install restore ARCHIVE` takes a backup",
            )
        store.opened()
        state.old, state.new = about["old"], state.old
        state.units, state.paused = about["units"], about["paused"]
        state.files, state.reason = "previous/files.tar", "rollback asked for"
        state.phase, state.began = "open", time.time()
        store.save(state)
    except (EnvError, OSError) as error:
        steps.fail(store, f"the rollback failed: {error}")
        raise


def _forget_older(kept: Path) -> None:
    """Of what earlier rollbacks kept, the latest stays too; each may be gigabytes."""
    found = [path for path in kept.parent.glob("airflow-*.dump") if path != kept]
    older = sorted(found, key=lambda path: path.stat().st_mtime)[: -(KEPT - 1)]
    for path in older:
        path.unlink()
        path.with_suffix(".tar").unlink(missing_ok=True)
