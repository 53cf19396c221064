"""Run a command in a model's environment, as the user that runs its tasks."""

import os
from pathlib import Path
from typing import NoReturn

from mlops_server import activation, inuse, terminal
from mlops_server.errors import EnvError
from mlops_server.layout import Layout
from mlops_server.person import Person
from mlops_server.store import find_current


def run(layout: Layout, name: str, words: list[str], person: Person) -> NoReturn:
    """Become the command: its exit code and signals are its own. Raises `EnvError`."""
    if not words:
        raise EnvError("nothing to run", fix=f"say what, such as `mlops env run {name} -- python`")
    prefix = _held(layout, name)
    if person.uid is not None:
        terminal.apart()
    person.become()
    _go(layout.data)
    full = activation.command(prefix, words)
    try:
        os.execvpe(full[0], full, person.variables(prefix))  # noqa: S606 - no shell is the point
    except OSError as error:
        fix = f"`mlops env show {name}` lists what is installed"
        raise EnvError(f"{full[0]}: {error.strerror}", fix=fix) from None


def _held(layout: Layout, name: str) -> Path:
    """The current prefix, locked against removal; it may have been switched meanwhile."""
    for _ in range(3):
        prefix = find_current(layout, name)[2]
        if inuse.hold(prefix):
            return prefix
    raise EnvError(f"the environment of {name} is being switched", fix="run the same command again")


def _go(data: Path) -> None:
    """Stay where we are if the user may, else go to the data folder."""
    try:
        os.listdir()
    except OSError:
        os.chdir(data if os.access(data, os.X_OK) else "/")
