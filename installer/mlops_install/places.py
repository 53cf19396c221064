"""The line of a setting in a TOML file: its parser keeps no positions."""

import tomllib
from collections.abc import Iterator, Sequence
from typing import Any


def line(text: str, keys: Sequence[str]) -> int:
    """The line of a setting, or of the table that it would be in; `text` is TOML that is read."""
    place, depth = 1, 0
    for number, path in _statements(text):
        found = _depth(path, keys)
        if found > depth:
            place, depth = number, found
    return place


def _statements(text: str) -> Iterator[tuple[int, Any]]:
    """Line and meaning of each table's head and each setting, as if it stood alone."""
    head: tuple[str, ...] = ()
    first, lines = 0, text.splitlines(keepends=True)
    for number in range(1, len(lines) + 1):
        found = _alone("".join(lines[first:number]))
        if found is None:  # a value goes on in the next line
            continue
        if found and lines[first].lstrip().startswith("["):
            head = tuple(_names(found))
        elif found:
            for name in reversed(head):
                found = {name: found}
        yield first + 1, found
        first = number


def _alone(statement: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(statement)
    except tomllib.TOMLDecodeError:
        return None


def _names(found: Any) -> Iterator[str]:
    """The names in a head: `[a.b]` or `[[a.b]]`, whose tables are empty."""
    while found:
        found = found[0] if isinstance(found, list) else found
        yield from found
        found = next(iter(found.values()), None)


def _depth(found: Any, keys: Sequence[str]) -> int:
    """How many of the keys lead into it."""
    depth = 0
    for key in keys:
        if not isinstance(found, dict) or key not in found:
            return depth
        found, depth = found[key], depth + 1
    return depth
