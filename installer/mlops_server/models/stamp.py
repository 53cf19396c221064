"""The head of conda-lock.yml: our stamp, channels and platforms, without reading the rest."""

import re
from dataclasses import dataclass
from typing import Any

import yaml

from mlops_server.models.environment import Loader

LINE = re.compile(r"# mlops-install: environment\.yml sha256:([0-9a-f]{64}) cuda:(\S+)")


@dataclass(frozen=True)
class Head:
    """What a lock says about itself; `digest` is empty where `mlops-install lock` did not make it.

    `cuda` is None for CPU builds; `channels` are as in environment.yml.
    """

    digest: str
    cuda: str | None
    channels: tuple[str, ...]
    platforms: tuple[str, ...]


def line(digest: str, cuda: str | None) -> str:
    """The first line of a lock that belongs to an environment.yml and a CUDA version."""
    return f"# mlops-install: environment.yml sha256:{digest} cuda:{cuda or 'none'}\n"


def head(lock: bytes) -> Head:
    """Read the head of a lock, of which the rest may be 1 MB. Raises `ValueError`."""
    text = lock[: _packages(lock)].decode()
    stamp = LINE.match(text)
    try:
        found = yaml.load(text, Loader=Loader)  # noqa: S506 - the C twin of the safe loader
        metadata: dict[str, Any] = found["metadata"]
        channels = tuple(channel["url"] for channel in metadata["channels"])
        platforms = tuple(metadata["platforms"])
    except (yaml.YAMLError, TypeError, KeyError, RecursionError) as error:
        raise ValueError("it does not start as a conda-lock.yml does") from error
    cuda = stamp[2] if stamp and stamp[2] != "none" else None
    return Head(stamp[1] if stamp else "", cuda, channels, platforms)


def _packages(lock: bytes) -> int:
    at = lock.find(b"\npackage:")
    return at + 1 if at >= 0 else len(lock)
