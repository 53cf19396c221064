"""TOML that others wrote. Raises `ValueError` only, whatever the text is. Standard library only."""

import tomllib
from typing import Any

DEPTH = 50
"""Levels of nesting: who walks through what was read may be recursive."""
DEEP = f"it is nested more than {DEPTH} levels deep"


def loads(text: str) -> dict[str, Any]:
    """What the text stands for. Raises `ValueError`."""
    try:
        found = tomllib.loads(text)
    except RecursionError:
        raise ValueError(DEEP) from None
    level: list[Any] = [found]
    for _ in range(DEPTH):
        level = [child for one in level for child in _children(one)]
    if level:
        raise ValueError(DEEP)
    return found


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
