"""What is known about commits: state.json, written at once or not at all, and the locks."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlops_server import jsontext
from mlops_server.disk import write
from mlops_server.errors import EnvError
from mlops_server.layout import METADATA, Layout
from mlops_server.store import held
from mlops_server.workflows.refusals import TryAgain

Say = Callable[[str], None]
PATIENCE = 60.0
"""Seconds to wait for another command."""
GATE = ".check.lock"
GATE_PATIENCE = 300.0
"""The same for the lock of the gate, which runs the tests of a commit."""
REMEMBERED = 50
"""How many rejected commits are kept."""
HISTORY = 500


def now() -> str:
    """The time, as it is written down."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


@dataclass
class State:
    """What is known.

    `seen` is the commit fetched last, `candidate` the one on its way in, `checked` the one that
    passed the gate, `active` the one in force, `held` the one that a rollback holds, and
    `returning` the one that a rollback is on its way to. `rejected` is commit -> reason, at, step.
    `history` holds commit, at, and whether it was a rollback; the latest is the last.
    """

    seen: str | None = None
    candidate: str | None = None
    checked: str | None = None
    active: str | None = None
    held: str | None = None
    returning: str | None = None
    rejected: dict[str, dict[str, str]] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)

    def reject(self, commit: str, reason: str, step: str) -> None:
        """Remember that a commit stays out."""
        self.rejected.pop(commit, None)
        self.rejected[commit] = {"reason": reason, "at": now(), "step": step}
        self.rejected = dict(list(self.rejected.items())[-REMEMBERED:])
        if self.candidate == commit:
            self.candidate = None
        if self.checked == commit:
            self.checked = None

    def activated(self, commit: str, *, rollback: bool = False) -> None:
        """Remember that a commit came into force."""
        if commit == self.active and (not rollback or self.history[-1]["rollback"]):
            return
        self.active = commit
        self.history.append({"commit": commit, "at": now(), "rollback": rollback})
        del self.history[:-HISTORY]

    def before(self) -> list[str]:
        """The commits to go back to, the nearest first; what was rolled back from is not one."""
        stack: list[str] = []
        for entry in self.history:
            commit = entry["commit"]
            if entry.get("rollback") and commit in stack:
                del stack[stack.index(commit) + 1 :]
                continue
            if commit in stack:
                stack.remove(commit)
            stack.append(commit)
        return [commit for commit in reversed(stack) if commit != self.active]


def current(layout: Layout) -> dict[str, str]:
    """What .mlops-release.json of the release in force says; empty when it has none."""
    return metadata(layout.current_release)


def metadata(release: Path) -> dict[str, str]:
    """What .mlops-release.json of a release says; empty when it has none."""
    try:
        found = jsontext.loads((release / METADATA).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def load(layout: Layout) -> State:
    """Read the state; the link to the release in force is right where they differ."""
    path = layout.workflows_state / "state.json"
    try:
        state = State(**jsontext.loads(path.read_bytes()))
    except FileNotFoundError:
        state = State()
    except (ValueError, TypeError) as error:
        raise EnvError(
            f"{path} cannot be read: {error}",
            fix=f"remove {path}; what was rejected is then tried once more",
        ) from None
    if commit := current(layout).get("commit"):
        state.activated(commit, rollback=commit == state.returning)
    else:
        state.active = None  # `mlops-install apply` has put a folder's release there
    return state


def save(layout: Layout, state: State) -> None:
    """Write the state where it changed; it is safe on the disk when this returns."""
    path, text = layout.workflows_state / "state.json", json.dumps(asdict(state), indent=1) + "\n"
    if not path.exists() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, text.encode(), 0o644)


@contextmanager
def locked(layout: Layout, say: Say, name: str = ".lock") -> Iterator[None]:
    """Hold a lock of workflow commands, after a minute of waiting at most, or some for the gate.

    `.lock` is for the state and the links, and is held for a moment; `.fetch.lock` for the
    repositories, `GATE` for the gate. So a rollback waits for neither network nor tests.
    Raises `TryAgain`.
    """
    folder = layout.workflows_state
    folder.mkdir(parents=True, exist_ok=True)
    patience = GATE_PATIENCE if name == GATE else PATIENCE
    until, told = time.monotonic() + patience, False
    while True:
        with held(folder / name, wait=False) as mine:
            if mine:
                yield
                return
        if not told:
            say("another mlops command is at work: waiting for it")
            told = True
        if time.monotonic() > until:
            raise TryAgain(
                "another mlops command is still at work",
                fix="wait until it has ended, then run the same command again",
            )
        time.sleep(0.1)


@contextmanager
def changing(layout: Layout, say: Say) -> Iterator[State]:
    """The state, to be changed; saved at the end, also when a commit was rejected."""
    with locked(layout, say):
        state = load(layout)
        try:
            yield state
        finally:
            save(layout, state)
