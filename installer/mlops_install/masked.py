"""The names of what the config calls a secret, for Airflow's masking: it goes by names."""

import re

from mlops_install.section import SecretRef
from mlops_install.settings import Config

PATH = "/etc/mlops/secret_names"


def names(config: Config) -> str:
    """Variables that are references, and keys of `secret_extra`: one in a line, as Airflow spells
    a name before it compares. The passwords of connections are masked without this.
    """
    variables = {n for n, value in config.variables.all.items() if isinstance(value, SecretRef)}
    keys = {key for one in config.connections.all.values() for key in one.secret_extra}
    return "".join(f"{name}\n" for name in sorted({_spelt(n) for n in variables | keys}))


def _spelt(name: str) -> str:
    """Airflow's `should_hide_value_for_key`."""
    return re.sub(r"\W+", "_", name.strip().lower())
