"""What the config calls a secret is masked, whatever its name: Airflow looks at names only.

`/etc/mlops/secret_names` has them, in the spelling that Airflow compares, one in a line. Standard
library only: each Python of Airflow's environment runs this when it starts.
"""

from collections.abc import MutableMapping
from contextlib import suppress

PATH = "/etc/mlops/secret_names"
SETTING = "AIRFLOW__CORE__SENSITIVE_VAR_CONN_NAMES"


def tell(environ: MutableMapping[str, str], path: str = PATH) -> None:
    """Let Airflow know the names; a server without the file has none. pathlib would take longer."""
    with suppress(OSError), open(path) as file:
        environ[SETTING] = ",".join(file.read().split())
