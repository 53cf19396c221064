"""Files of this side that the user names: read whole, or one message that says why not."""

import os
from collections.abc import Sequence
from pathlib import Path

from mlops_install.errors import ConfigError, dotted

MOST = 1 << 20
"""Bytes: a key, a list of hosts or a bundle of authorities is smaller; /dev/zero has no end."""


def at_home(path: Path | str, what: str, keys: Sequence[str] = ()) -> Path:
    """The path without its ~. Raises `ConfigError`; `what` names an option, `keys` a setting."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise _refused(what, keys, f"cannot read {path}: there is no such user") from error


def is_file(path: Path | str) -> bool:
    """Whether there is a file, for any path: none has a name that is too long."""
    return os.path.isfile(path)


def text(path: Path | str, what: str = "", keys: Sequence[str] = (), helps: str = "") -> str:
    """The text of a file, without a byte order mark. Raises `ConfigError`.

    `helps` is what to do where it is more than a path that is wrong.
    """
    place = at_home(path, what, keys)
    try:
        with place.open("rb") as file:
            data = file.read(MOST + 1)
    except OSError as error:
        raise _refused(what, keys, f"cannot read {path}: {error.strerror}", helps) from error
    if len(data) > MOST:
        raise _refused(what, keys, f"{path} has more than {MOST >> 20} MiB", helps)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        why = f"{path} is not UTF-8: {error}"
        raise ConfigError(why, fix=helps or "save it as UTF-8", keys=keys) from error


def pem(path: Path | str, *keys: str) -> str:
    """The text of a file in PEM form that a setting names. Raises `ConfigError`."""
    found = text(path, keys=keys)
    if "-----BEGIN " not in found:
        raise ConfigError(
            f"{path} is not a PEM file", fix=f"set {dotted(keys)} to a file in PEM form", keys=keys
        )
    return found


def _refused(what: str, keys: Sequence[str], why: str, helps: str = "") -> ConfigError:
    setting = f"the path in {dotted(keys)}" if keys else what or "the path"
    return ConfigError(why, fix=helps or f"correct {setting}, or the rights of the file", keys=keys)
