"""What the server says to a read-only question."""

from dataclasses import dataclass

ABSENT = 3
"""Exit code by which a probe says: it is not there (or the tool that would know is not)."""


@dataclass(frozen=True)
class Answer:
    """What a probe printed, its exit code, and what it said on standard error."""

    text: str
    code: int = 0
    error: str = ""
