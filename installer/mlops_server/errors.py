"""The error that a person meets: what happened, and what to do about it."""

from typing import NamedTuple


class Flaw(NamedTuple):
    """Something that is not as it must be, and what to do about it: one of several, or not ours
    to raise."""

    text: str
    fix: str


class EnvError(Exception):
    """An expected failure; `fix` is one sentence that helps, `detail` lines shown between.

    `code` is the exit code.
    """

    code = 1

    def __init__(self, message: str, *, fix: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.detail = detail

    def __str__(self) -> str:
        lines = [f"mlops: {self.message}", *self.detail.splitlines()]
        return "\n".join([*lines, f"fix: {self.fix}"] if self.fix else lines)


class BadLock(EnvError):  # noqa: N818 - reads as what is wrong
    """The lock itself is at fault: another try would end in the same way."""
