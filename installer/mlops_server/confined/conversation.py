"""What is said to a piece of work, and what it says: lines of JSON, which nobody trusts."""

import json
import subprocess
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from mlops_server import jsontext
from mlops_server.errors import BadLock, EnvError
from mlops_server.output import shown

LONGEST = 1 << 16
"""Bytes of a line that a unit says; a longer one is cut."""
MOST = 20_000
"""Lines that a unit may say."""

Say = Callable[[str], None]
Answer = dict[str, Any]


def converse(process: "subprocess.Popen[bytes]", request: Answer, say: Say) -> Answer:
    """Hand over the request; say what is said; the answer, or else what was said at the end."""
    rest: list[str] = []
    if process.stdin is None or process.stdout is None:
        raise ValueError("the process has no pipes")
    with suppress(BrokenPipeError):
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
    for _ in range(MOST):
        line = process.stdout.readline(LONGEST)
        found = _read(line)
        if not line or "done" in found or "error" in found:
            return found or {"rest": "\n".join(rest)}
        if isinstance(found.get("say"), str):
            say(shown(found["say"]))
        else:
            rest = [*rest[-5:], shown(line.decode(errors="replace").rstrip())]
    return {"rest": f"it said more than {MOST} lines"}


def _read(line: bytes) -> Answer:
    try:
        found = jsontext.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def described(about: Any) -> EnvError:
    """The error that a unit tells of."""
    about = about if isinstance(about, dict) else {}
    kind = BadLock if about.get("for_good") is True else EnvError
    text = {key: str(about.get(key, "")) for key in ("message", "fix", "detail")}
    detail = "\n".join(shown(line) for line in text["detail"].splitlines()[-20:])
    return kind(shown(text["message"])[:2000], fix=shown(text["fix"])[:500], detail=detail)
