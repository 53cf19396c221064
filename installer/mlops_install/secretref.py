"""Reading what a reference to a secret points to."""

import os
from collections.abc import Sequence

from pydantic import SecretStr

from mlops_install import reading, texts
from mlops_install.errors import ConfigError, dotted
from mlops_install.lastresort import SECRETS
from mlops_install.section import SecretRef


def secret(reference: SecretRef, *keys: str, lines: bool = False) -> SecretStr:
    """What a reference points to; a password is one line, other secrets may have more.

    Raises `ConfigError`, which names the setting.
    """
    found = _read(reference, keys)
    SECRETS.add(found)
    if why := _problem(found, lines):
        raise ConfigError(f"what {_source(reference)} holds cannot be used: {why}",
                          fix=f"write the secret into {_source(reference)}", keys=keys)  # fmt: skip
    return SecretStr(found)


def _problem(found: str, lines: bool) -> str:
    if not found:
        return "it is empty"
    if "\n" in found and not lines:
        return "it has more than one line"
    return texts.problem(found, free=True)


def optional(reference: SecretRef | None, *keys: str) -> SecretStr | None:
    """The secret of a setting that may not be there. Raises `ConfigError` that names it."""
    return None if reference is None else secret(reference, *keys)


def _source(reference: SecretRef) -> str:
    return str(reference.file) if reference.env is None else f"the variable {reference.env}"


def _read(reference: SecretRef, keys: Sequence[str]) -> str:
    if reference.env is None:
        return reading.text(
            str(reference.file), keys=keys, helps=f"write the secret into {reference.file}"
        ).strip()
    if reference.env not in os.environ:
        raise ConfigError(
            f"the environment variable {reference.env} is not set",
            fix=f"set it, or change {dotted(keys)}", keys=keys,
        )  # fmt: skip
    return os.environ[reference.env].strip("\r\n")
