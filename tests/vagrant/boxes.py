"""What nspawn.rb asks of the project's boxes: boxes.py up|state|login|halt|down NAME [SYSTEM].

The boxes belong to the process that MLOPS_TEST_OWNER names: after its death they are reaped.
"""

import json
import os
import sys
from dataclasses import replace

from mlops_install import box
from mlops_install.box import state
from mlops_install.errors import BoxError


def up(name: str, system: str) -> str:
    """Make the box, or start it again, and give it to its owner."""
    box.up(name, system, ephemeral=True)
    owner = int(os.environ["MLOPS_TEST_OWNER"])
    record = state.load(name)
    if not record:
        raise BoxError(f"box {name} went away", fix="Try again.")
    state.save(replace(record, owner=owner, owner_started=state.started(owner)))
    return ""


def _state(name: str) -> str:
    """A name of Vagrant for what the box is in."""
    record = state.load(name)
    if not record:
        return "not_created"
    return "running" if record.box().running else "poweroff"


def login(name: str) -> str:
    """How to log in, as JSON for Vagrant."""
    found = box.find(name)
    key = str(found.identity_file)
    return json.dumps(
        {"host": found.address, "port": 22, "username": "debian", "private_key_path": [key]}
    )


def _quiet(answer: None) -> str:
    """Nothing to say."""
    return ""


COMMANDS = {
    "up": up,
    "state": _state,
    "login": login,
    "halt": lambda name: _quiet(box.halt(name)),
    "down": lambda name: _quiet(box.down(name)),
}

if __name__ == "__main__":
    try:
        print(COMMANDS[sys.argv[1]](*sys.argv[2:]))
    except BoxError as error:
        sys.exit(f"{error} {error.fix}\n{error.detail}")
