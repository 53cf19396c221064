"""Do a piece of work as a user that exists for it only, in a unit that can write one new folder.

Whatever comes from a channel, an index or a commit is fetched, unpacked and run here, never by
root. A unit ends with everything in it when its work is done, when its time is up, and when
whoever asked for it is gone: its stdin ends then. What it says and leaves behind is judged.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from mlops_server.confined import unit
from mlops_server.confined.conversation import Answer, Say, converse, described
from mlops_server.confined.disk import LEFT, watched, written
from mlops_server.confined.folder import Yard, isolated, remove, yard
from mlops_server.confined.unit import NOBODY, WALLS, network
from mlops_server.errors import EnvError
from mlops_server.layout import Layout

__all__ = ["NOBODY", "WALLS", "Yard", "call", "described", "isolated", "network", "remove", "yard"]
PATIENCE = 1
"""Seconds for a unit whose work is done, or whose stdin has ended, to end by itself."""


def call(
    layout: Layout,
    name: str,
    job: str,
    request: Answer,
    say: Say,
    *,
    yard: Yard | None = None,
    network: bool = False,
    seconds: int = 7200,
    user: str = "",
    raised: Callable[[Any], EnvError] | None = None,
) -> Answer:
    """Have a job of `mlops_server.inside` done in the unit `name`. Raises `EnvError`.

    The answer is the unit's own word: whoever builds on it has to look.
    """
    walls = unit.words(name, yard, network, seconds, user) if isolated(layout) else []
    words = [*walls, sys.executable, "-P", "-B", "-m", "mlops_server.inside", job]
    stop = partial(unit.stop, name) if walls else _nothing
    stop()  # what a killed command left
    with _started(words, stop) as process, watched(written(yard), stop) as full:
        answer = converse(process, request, say)
    if full.is_set():
        raise EnvError(
            f"no space left: {job} would have filled the disk",
            fix=f"free some disk space: {LEFT >> 30} GiB, or half of it, stays for others",
        )
    if "error" in answer:
        raise (raised or described)(answer["error"])
    if "done" not in answer:
        what = f"{job} came to its end before its time"
        raise EnvError(what, detail=answer["rest"], fix="run the same command again")
    return answer


def _nothing() -> None:
    """Without units there is none to stop."""


@contextmanager
def _started(words: list[str], stop: Callable[[], None]) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that ends with the block, and with us: it hears that its stdin ends.

    It gets pipes only: a terminal of ours would let it type there.
    """
    process = subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        for pipe in (process.stdin, process.stdout):
            if pipe:
                with suppress(BrokenPipeError):
                    pipe.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)  # most are at their end, and need not be stopped
        stop()
        process.wait()
