"""Every error that a user can meet.

MlopsError
├── ConfigError        the config file or an option is wrong
├── HostError          the server cannot be reached, logged in to, or trusted
│   └── ConnectionLost the connection broke while something ran
├── PreflightError     the server is not one that we can or may provision
├── LockError          somebody else is at work on the server
├── ApplyError         a step failed or did not bring about what it should
└── BoxError           a disposable box cannot be made or found
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mlops_server.errors import EnvError


class MlopsError(Exception):
    """What happened, and what to do about it.

    `fix` is one sentence that names the command or setting that helps; `detail` holds
    further lines (a log's tail, a list of problems) that are shown between the two.
    """

    def __init__(self, message: str, *, fix: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.detail = detail


class ConfigError(MlopsError):
    """The config file or an option is wrong; `keys` lead to the setting, where it is one."""

    def __init__(
        self, message: str, *, fix: str = "", detail: str = "", keys: Sequence[str] = ()
    ) -> None:
        what = f"{dotted(keys)}: " if keys else ""
        super().__init__(f"{what}{message}", fix=fix, detail=detail)
        self.keys = tuple(keys)


def dotted(keys: Sequence[str]) -> str:
    """How messages call a setting: `[base] packages`, `[connections.sales] port`."""
    words = [key if re.fullmatch(r"[\w.-]+", key) else json.dumps(key) for key in keys]
    head = 2 if keys[0] == "connections" and len(keys) > 2 else 1
    table, name = ".".join(words[:head]), ".".join(words[head:])
    return f"[{table}] {name}" if name else table


class HostError(MlopsError):
    """The server cannot be reached, logged in to, or trusted."""


class ConnectionLost(HostError):  # noqa: N818 - reads as what happened
    """The connection broke while something ran."""


class PreflightError(MlopsError):
    """The server is not one that we can or may provision."""


class LockError(MlopsError):
    """Somebody else is at work on the server."""


class ApplyError(MlopsError):
    """A step failed, or did not bring about what it should."""


class BoxError(MlopsError):
    """A disposable box cannot be made or found."""


@contextmanager
def translated() -> Iterator[None]:
    """Tell an error of what both sides share as one of this side. Raises `ConfigError`."""
    try:
        yield
    except EnvError as error:
        raise ConfigError(error.message, fix=error.fix, detail=error.detail) from error
    except OSError as error:
        what = f"cannot read {error.filename}: {error.strerror}"
        raise ConfigError(what, fix="correct the path, or the rights of the file") from error
