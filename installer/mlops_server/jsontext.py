"""JSON that may be damaged or another's. Raises `ValueError` only. Standard library only."""

import json
from typing import Any

from mlops_server.tomltext import DEEP


def loads(text: str | bytes) -> Any:
    """What the text stands for. Raises `ValueError`."""
    try:
        return json.loads(text)
    except RecursionError:  # some hundred levels: how many depends on the caller's own depth
        raise ValueError(DEEP) from None
