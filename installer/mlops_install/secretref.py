"""Reading what a reference to a secret points to."""

import os
from pathlib import Path

from pydantic import SecretStr

from mlops_install.errors import ConfigError
from mlops_install.lastresort import SECRETS
from mlops_install.section import SecretRef


def secret(reference: SecretRef) -> SecretStr:
    """What a reference points to. Raises `ConfigError` when it is not there."""
    found = _read(reference)
    SECRETS.add(found.get_secret_value())
    return found


def _read(reference: SecretRef) -> SecretStr:
    if reference.env is None:
        path = Path(reference.file or "").expanduser()
        try:
            return SecretStr(path.read_text().strip())
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"cannot read {path}: {error}", fix="name the file of a secret, as text"
            ) from error
    if reference.env not in os.environ:
        raise ConfigError(
            f"the environment variable {reference.env} is not set",
            fix=f"set it, or change the setting that names {reference.env}",
        )
    return SecretStr(os.environ[reference.env])
