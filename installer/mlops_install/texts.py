"""What no text of the config may be, whatever it is for."""

import re
from collections.abc import Iterator
from typing import Any

LONGEST = 4096
"""Bytes: no path, address or name is longer."""
FREE_LONGEST = 64 * 1024
FREE = (("variables",), ("connections", "*", "extra"))
"""Settings whose values are anybody's text: lines and nothing at all are among it."""
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
FREE_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")

Keys = tuple[str, ...]


def problems(found: Any, keys: Keys = ()) -> Iterator[tuple[Keys, str, str]]:
    """The names that lead to every text that will not do, the text, and why."""
    if isinstance(found, dict):
        for name, value in found.items():
            if why := problem(name):
                yield (*keys, name), "", f"this name cannot be used: {why}"
            yield from problems(value, (*keys, name))
    elif isinstance(found, list):
        for value in found:
            yield from problems(value, keys)
    elif isinstance(found, str) and (why := problem(found, free=_free(keys))):
        yield keys, found, why + ("" if found else "; leave the setting out where nothing is meant")


def problem(text: str, *, free: bool = False) -> str:
    """Why this text will not do; empty when it will."""
    if not (free or text.strip()):
        return "it is empty"
    if not free and text != text.strip():
        return "it begins or ends with a space"
    if odd := (FREE_CONTROL if free else CONTROL).search(text):
        return f"it has a control character (U+{ord(odd[0]):04X})"
    longest, size = FREE_LONGEST if free else LONGEST, len(text.encode())
    return f"it has {size} bytes, and {longest} at most are possible" if size > longest else ""


def _free(keys: Keys) -> bool:
    return any(
        all(part in ("*", key) for part, key in zip(parts, keys, strict=False))
        for parts in FREE
        if len(keys) > len(parts)
    )
