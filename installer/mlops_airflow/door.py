"""Ask the server's own program to do something: tasks cannot become root. Without Airflow."""

import json
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SOCKET = Path("/run/mlops/door.sock")
REJECTED = 3
AGAIN = 75
KEPT = 200


class DoorError(ConnectionError):
    """No answer, or only half of one; asking again may help."""


@dataclass
class Answer:
    """The exit code of a command, and the end of its output."""

    code: int = -1
    lines: list[str] = field(default_factory=list)

    @property
    def last(self) -> str:
        """The last line that says something."""
        return next((line for line in reversed(self.lines) if line.strip()), "")

    @property
    def reason(self) -> str:
        """Why it failed: the last message, without the advice that may follow it."""
        said = [line for line in self.lines if line.startswith("mlops: ")]
        return said[-1].removeprefix("mlops: ") if said else self.last

    @property
    def data(self) -> Any:
        """The JSON at the end of the output. Raises `ValueError` when there is none."""
        starts = [n for n, line in enumerate(self.lines) if line[:1] in ("{", "[")]
        return json.loads("\n".join(self.lines[starts[-1] if starts else 0 :]))


def ask(words: Sequence[str], say: Callable[[str], None], path: Path = SOCKET) -> Answer:
    """Have a command run, such as `workflows fetch`; `say` gets its lines as they come.

    Raises `DoorError` when the door is shut or closes before the end.
    """
    answer = Answer()
    try:
        with socket.socket(socket.AF_UNIX) as door:
            door.connect(str(path))
            door.sendall(json.dumps({"words": list(words)}).encode() + b"\n")
            with door.makefile("r", encoding="utf-8", errors="replace", newline="\n") as lines:
                for line in lines:
                    _take(line.rstrip("\n"), answer, say)
    except OSError as error:
        raise DoorError(f"{path}: {error}") from error
    if answer.code < 0:
        raise DoorError(f"{path}: the answer ends before its end")
    return answer


def _take(line: str, answer: Answer, say: Callable[[str], None]) -> None:
    """Keep a line; the exit code is the last one, so one that more lines follow was output."""
    if answer.code >= 0:
        answer.lines.append(f"exit {answer.code}")
        say(answer.lines[-1])
        answer.code = -1
    found = re.fullmatch(r"exit (\d{1,3})", line)
    if found:
        answer.code = int(found[1])
        return
    say(line)
    answer.lines.append(line)
    del answer.lines[:-KEPT]
