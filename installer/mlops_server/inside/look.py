"""What the Git server has. Has the network."""

from typing import Any

from mlops_server.inside.__main__ import say
from mlops_server.workflows import pulling


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Raises `EnvError`."""
    return pulling.look(request, say)
