"""Reading what a reference to a secret points to."""

import os
from pathlib import Path

from pydantic import SecretStr

from mlops_install.errors import ConfigError
from mlops_install.lastresort import SECRETS
from mlops_install.section import SecretRef


def secret(reference: SecretRef, setting: str) -> SecretStr:
    """What a reference points to. Raises `ConfigError`, which names the setting."""
    found = _read(reference, setting)
    SECRETS.add(found.get_secret_value())
    return found


def _read(reference: SecretRef, setting: str) -> SecretStr:
    if reference.env is None:
        path = Path(reference.file or "").expanduser()
        try:
            return SecretStr(path.read_text().strip())
        except OSError as error:
            raise ConfigError(
                f"{setting}: cannot read {path}: {error.strerror}",
                fix="write the secret into the file",
            ) from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{setting}: {path} is not UTF-8", fix="save it as UTF-8") from error
    if reference.env not in os.environ:
        raise ConfigError(
            f"{setting}: the environment variable {reference.env} is not set",
            fix=f"set it, or change {setting}",
        )
    return SecretStr(os.environ[reference.env])
