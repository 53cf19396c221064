"""The head of conda-lock.yml: our stamp, channels and platforms, without parsing the rest."""

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from mlops_server.models import reading

LINE = re.compile(
    r"# mlops-install: environment\.yml sha256:([0-9a-f]{64}) cuda:(\S+)"
    r"(?: packages sha256:([0-9a-f]{64}))?"
)


@dataclass(frozen=True)
class Head:
    """What a lock says about itself; `digest` is empty where `mlops-install lock` did not make it.

    `cuda` is None for CPU builds; `channels` are as in environment.yml. `whole` says whether all
    that follows the stamp is as it was made; locks of earlier versions do not know (None).
    """

    digest: str
    cuda: str | None
    channels: tuple[str, ...]
    platforms: tuple[str, ...]
    whole: bool | None = None


def line(digest: str, cuda: str | None, rest: bytes) -> str:
    """The first line of a lock that belongs to an environment.yml and a CUDA version."""
    made = f"environment.yml sha256:{digest} cuda:{cuda or 'none'} packages sha256:{_sum(rest)}"
    return f"# mlops-install: {made}\n"


def _sum(rest: bytes) -> str:
    """Git may have written other ends of lines."""
    return hashlib.sha256(rest.replace(b"\r\n", b"\n")).hexdigest()


def head(lock: bytes) -> Head:
    """Read the head of a lock, of which the rest may be 1 MB. Raises `ValueError`."""
    start = lock[: _packages(lock)]
    found = reading.load(start)
    stamp = LINE.match(reading.text(start))
    try:
        metadata: dict[str, Any] = found["metadata"]
        channels = tuple(str(channel["url"]) for channel in metadata["channels"])
        platforms = tuple(str(platform) for platform in metadata["platforms"])
    except (TypeError, KeyError) as error:
        raise ValueError("it does not start as a conda-lock.yml does") from error
    cuda = stamp[2] if stamp and stamp[2] != "none" else None
    whole = _sum(lock.partition(b"\n")[2]) == stamp[3] if stamp and stamp[3] else None
    return Head(stamp[1] if stamp else "", cuda, channels, platforms, whole)


def _packages(lock: bytes) -> int:
    at = lock.find(b"\npackage:")
    return at + 1 if at >= 0 else len(lock)
