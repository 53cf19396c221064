"""What the server says to a read-only question."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mlops_install.errors import HostError

ODD = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What reading raises when a line is cut, is there twice, or is somebody else's."""
SHOWN = 500
"""Characters of an answer that nobody understands."""
ABSENT = 3
"""Exit code by which a probe says: it is not there (or the tool that would know is not)."""


@dataclass(frozen=True)
class Answer:
    """What a probe printed, its exit code, and what it said on standard error."""

    text: str
    code: int = 0
    error: str = ""


@contextmanager
def understood(what: str, text: str) -> Iterator[None]:
    """Read an answer of the server in the block. Raises `HostError` when it is not as agreed."""
    try:
        yield
    except ODD as error:
        raise HostError(
            f"the server's answer about {what} cannot be read ({type(error).__name__})",
            detail=text[:SHOWN] or "it is empty",
            fix="run it again; where it stays, see what else prints there, such as a profile",
        ) from error


def document(what: str, text: str) -> dict[str, Any]:
    """The JSON object that the server printed. Raises `HostError`."""
    with understood(what, text):
        found = json.loads(text)
        if not isinstance(found, dict):
            raise TypeError  # nobody sees a text of it
        return found
