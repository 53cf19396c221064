"""What is known of an upgrade while it is open, and of the last one: files in one folder."""

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlops_server import disk, jsontext
from mlops_server.errors import EnvError
from mlops_server.layout import Layout

Say = Callable[[str], None]
RESERVE = 1 << 18
"""Bytes kept for writing the state on the way back when the disk is full."""
FORWARD = ("draining", "stopping", "open")
"""The phases that lead to the new version."""


@dataclass
class State:
    """An open upgrade. Times are seconds since 1970.

    phase: draining (nothing was stopped), stopping (services stop, the database is being saved),
    open (saved, may be changed), returning (the old database and files are being put back),
    starting (they are; services start), committing (the new version stays).
    """

    old: str
    new: str
    phase: str = "draining"
    paused: list[str] = field(default_factory=list)
    """The DAGs that were paused by us."""
    units: list[str] = field(default_factory=list)
    """The units of Airflow that ran."""
    began: float = 0
    stopped: float = 0
    reason: str = ""
    kind: str = "upgrade"
    """upgrade or rollback."""
    files: str = "files.tar"
    """Which archive holds the files to go back to, below the folder."""
    log: int = 0
    """Size of the log when it began."""


@dataclass(frozen=True)
class Store:
    """The folder of upgrades, open to root only."""

    layout: Layout

    @property
    def folder(self) -> Path:
        """Where everything is."""
        return self.layout.upgrade

    @property
    def path(self) -> Path:
        """The state; an upgrade is open while it is there."""
        return self.folder / "state.json"

    @property
    def dump(self) -> Path:
        """The saved database."""
        return self.folder / "airflow.dump"

    @property
    def previous(self) -> Path:
        """What `rollback airflow` goes back to: airflow.dump, files.tar and about.json."""
        return self.folder / "previous"

    def load(self) -> State | None:
        """The open upgrade, or None. Raises `EnvError` when it cannot be read."""
        try:
            return State(**jsontext.loads(self.path.read_bytes()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise EnvError(
                f"{self.path} cannot be read: {error}", fix=f"see {self.layout.upgrade_log}"
            ) from None

    def opened(self) -> State:
        """The open upgrade. Raises `EnvError` when none is, or when it was given up."""
        state = self.load()
        if state is None:
            raise EnvError("no upgrade is open", fix=f"see {self.layout.upgrade_log}")
        if self.abandoned.exists():
            raise EnvError("the upgrade was given up: the server goes back")
        return state

    def save(self, state: State) -> None:
        """Write the state by one rename; it is on the disk when this returns."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        if state.phase in FORWARD and not self._reserve.exists():
            self._reserve.write_bytes(b"\0" * RESERVE)
        write(self.path, asdict(state))

    def free(self) -> None:
        """Give the reserved room free, so that the way back can be written down."""
        self._reserve.unlink(missing_ok=True)

    @property
    def _reserve(self) -> Path:
        return self.folder / "reserve"

    @property
    def abandoned(self) -> Path:
        """Its presence tells the steps of a dead run to stop."""
        return self.folder / "abandoned"

    @property
    def answered(self) -> Path:
        """When the new version answered for the first time."""
        return self.folder / "answered"

    @property
    def last(self) -> Path:
        """How the last upgrade ended."""
        return self.folder / "last.json"

    def end(self, state: State, outcome: str, message: str) -> None:
        """Close the upgrade: how it ended is kept for `status` and in the history."""
        at = datetime.now(UTC).isoformat("T", "seconds")
        entry = {
            "kind": state.kind, "from": state.old, "to": state.new, "outcome": outcome, "at": at,
            "reason": state.reason, "message": message, "seconds_down": self.downtime(state),
        }  # fmt: skip
        self.free()
        write(self.last, entry)
        history = self.layout.root / "var/lib/mlops/history.jsonl"
        with history.open("a") as file:
            file.write(json.dumps(entry) + "\n")
        # A plan that was made before is out of date from now on.
        (history.parent / "last_run").write_text(f"{state.kind} that ended at {at}\n")
        for path in (self.path, self.abandoned, self.answered):
            path.unlink(missing_ok=True)
        disk.sync(self.folder)

    def downtime(self, state: State) -> float | None:
        """Seconds from the stop of the API server to the first answer; None when unknown.

        Unknown too when the clock was set back meanwhile.
        """
        with suppress(OSError, ValueError):
            seconds = round(float(self.answered.read_text()) - state.stopped, 1)
            return seconds if seconds >= 0 else None
        return None


def write(path: Path, found: dict[str, Any]) -> None:
    """Write JSON for root by one rename."""
    disk.write(path, json.dumps(found, indent=1).encode())


@dataclass(frozen=True)
class Log:
    """Says things to whoever listens and to the log; `who` stands before each line there."""

    layout: Layout
    who: str
    say: Say = print

    def __call__(self, text: str) -> None:
        with suppress(OSError):  # a full disk does not stop the way back
            self._write(text)
        try:
            self.say(text)
        except OSError as error:
            raise EnvError("the connection of the installer is gone") from error

    def _write(self, text: str) -> None:
        path = self.layout.upgrade_log
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "a") as file:
            for line in text.splitlines():
                at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                file.write(f"{at} {self.who}: {line}\n")
