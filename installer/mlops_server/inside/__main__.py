"""`python3 -m mlops_server.inside JOB`: one job, asked for on stdin, answered on stdout.

The request is one line of JSON. Lines {"say": text} come back while it works, and one
{"done": true, ...} or {"error": {...}} at its end.
"""

import importlib
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from mlops_server import jsontext
from mlops_server.errors import BadLock, EnvError

Answer = dict[str, Any]


def main() -> None:
    """Do the job and end at once: threads of py-rattler can crash what winds down."""
    os.umask(0o022)
    request = jsontext.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        answer = {"done": True, **(_job(sys.argv[1])(request) or {})}
    except EnvError as error:
        answer = {"error": _described(error)}
    except BaseException as error:  # a panic of py-rattler is no Exception
        lines = traceback.format_exc().splitlines()[-8:]
        what = {"message": f"{type(error).__name__}: {error}", "detail": "\n".join(lines)}
        answer = {"error": what}
    _write(answer)
    os._exit(0)


def _described(error: EnvError) -> dict[str, Any]:
    found = {"message": error.message, "fix": error.fix, "detail": error.detail}
    more = {"kind": type(error).__name__, "commit": getattr(error, "commit", "")}
    return {**found, **more, "for_good": isinstance(error, BadLock)}


def _end_with_stdin() -> None:
    """Who asked for the work is gone: nothing of it may go on. systemd ends the others."""
    with suppress(OSError):
        while os.read(0, 1 << 16):
            pass
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _job(name: str) -> Callable[[Answer], Answer | None]:
    """Each loads what it needs itself."""
    module = importlib.import_module(f"mlops_server.inside.{name}")
    run: Callable[[Answer], Answer | None] = module.run
    return run


def say(text: str) -> None:
    """A line for whoever waits."""
    _write({"say": text})


def _write(found: Answer) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
