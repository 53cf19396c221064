"""What a unit starts, as its own user: `python3 -P -B -m mlops_server.services.start churn.7`.

It takes the lock on the environment that keeps clean-up away, and becomes serve.py in there.
"""

import os
import sys
from pathlib import Path
from typing import NoReturn

from mlops_server import activation, inuse
from mlops_server.errors import EnvError
from mlops_server.layout import Layout
from mlops_server.services import serve
from mlops_server.services.records import Record, Records
from mlops_server.store import Model

PASSED = ("LISTEN_PID", "LISTEN_FDS", "NOTIFY_SOCKET", "LANG", "TZ")


def start(layout: Layout, instance: str) -> NoReturn:
    """Become the server of an instance. Raises `EnvError`."""
    records = Records(layout)
    record = records.read(instance)
    prefix = _held(layout, record)
    program = os.path.realpath(serve.__file__)
    words = [f"{prefix}/bin/python", "-s", "-B", program, str(records.path(instance)), str(prefix)]
    full = activation.command(prefix, words)
    os.chdir("/")
    os.execve(full[0], full, _variables(record, prefix))  # noqa: S606 - no shell is the point


def _held(layout: Layout, record: Record) -> Path:
    """The environment, locked against removal; a repair may have moved its link meanwhile."""
    for _ in range(3):
        prefix = Model(layout, record.model).prefix(record.lock)
        if prefix is not None and inuse.hold(prefix):
            return prefix
    raise EnvError(f"the environment {record.model} {record.lock} is not built")


def _variables(record: Record, prefix: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in PASSED if name in os.environ}
    return kept | {
        "HOME": "/tmp",  # noqa: S108 - the unit's own
        # Its user exists while it runs only, and has no entry: getpass and others ask for a name.
        "USER": record.service,
        "LOGNAME": record.service,
        "PATH": f"{prefix}/bin:/usr/local/bin:/usr/bin:/bin",
        "CONDA_PREFIX": str(prefix),
        "CONDA_DEFAULT_ENV": record.model,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "MLOPS_MODEL": record.model,
        "MLOPS_RELEASE": record.release,
        "MLOPS_SERVICE": record.service,
    }


if __name__ == "__main__":
    try:
        start(Layout(), sys.argv[1])
    except EnvError as error:
        sys.exit(str(error))
