"""How long a command takes beside a yardstick that is timed in turn: neighbours slow both down."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

LIBRARIES = "import fabric, jinja2, pydantic, rich.console, typer"
IMPORTS = (sys.executable, "-c", LIBRARIES)
"""The yardstick of a command that talks to a server: what loading its libraries takes."""


@dataclass(frozen=True)
class Took:
    """Seconds by the clock, and of CPU in this machine's processes."""

    wall: float
    cpu: float


def took(work: Callable[[], object]) -> Took:
    """What some work took, with the processes that it started and waited for."""
    begin, before = time.perf_counter(), _cpu()
    work()
    return Took(time.perf_counter() - begin, _cpu() - before)


def command(*words: str | os.PathLike[str]) -> Callable[[], object]:
    """Work that runs a command."""
    # With byte code, as where the program is installed.
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return lambda: subprocess.run(words, capture_output=True, check=True, env=env)


def in_turn(times: int, *works: Callable[[], object]) -> list[list[Took]]:
    """What each work took, each time."""
    rounds = [[took(work) for work in works] for _ in range(times)]
    return [list(one) for one in zip(*rounds, strict=True)]


def least(tries: list[Took]) -> Took:
    """The least of the tries, by the clock and of CPU: what no neighbour disturbed."""
    return Took(min(took.wall for took in tries), min(took.cpu for took in tries))


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
