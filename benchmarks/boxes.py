"""Bare boxes and provisioned ones, and how progress is told."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from mlops_install import box
from server import Server, make

SYSTEM = os.environ.get("BENCH_SYSTEM", "debian-12")


def say(text: str) -> None:
    """Progress for people."""
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", file=sys.stderr, flush=True)


@contextmanager
def bare(folder: Path, config: str = "") -> Iterator[Server]:
    """A box with nothing on it, and a config for it; it is gone afterwards."""
    server = make(SYSTEM, folder)
    server.config.write_text(config)
    try:
        yield server
    finally:
        box.down(server.name)


@contextmanager
def provisioned(folder: Path, config: str = "") -> Iterator[Server]:
    """A box after one run of the installer."""
    with bare(folder, config) as server:
        server.apply()
        yield server


def seconds(work: Callable[[], object]) -> float:
    """What it takes by the clock."""
    begin = time.monotonic()
    work()
    return time.monotonic() - begin
