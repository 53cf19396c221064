"""Reading a site of nginx that others wrote: on which ports does it listen?"""

import re
from collections.abc import Iterator

DEFAULT = 80
"""Where a server listens that does not say."""


def ports(text: str) -> frozenset[int]:
    """The ports of all servers in the text, which has no comments any more."""
    return frozenset(port for block in _servers(text) for port in _listens(block))


def _servers(text: str) -> Iterator[str]:
    for start in re.finditer(r"\bserver\s*\{", text):
        depth, at = 1, start.end()
        while depth and at < len(text):
            depth += {"{": 1, "}": -1}.get(text[at], 0)
            at += 1
        yield text[start.end() : at]


def _listens(block: str) -> Iterator[int]:
    found = re.findall(r"\blisten\s+([^\s;]+)", block)
    for place in found:
        port = re.fullmatch(r"(?:.*:)?(\d+)", place)
        if port:
            yield int(port[1])
        elif not place.startswith("unix:"):
            yield DEFAULT
    if not found:
        yield DEFAULT
