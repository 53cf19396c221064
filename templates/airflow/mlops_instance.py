"""Names this machine's Airflow components; imported through [core] hostname_callable."""

import os
import socket


def hostname() -> str:
    # *.localhost always resolves to loopback, so the UI asks this machine for a running task's log.
    instance = os.environ.get("MLOPS_INSTANCE")
    return f"{instance}.localhost" if instance else socket.gethostname()
