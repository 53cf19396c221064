"""YAML of a project: decoded and loaded, or one line that says why not. Raises `ValueError` only.

Whoever pushes can write anything into these files, and root reads them.
"""

import codecs
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import yaml

MARKS = {  # the longer ones first: UTF-32 begins as UTF-16 does
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
CONFLICT = re.compile(r"^(?:<{7}|\|{7}|={7}|>{7})(?: .*)?$", re.MULTILINE)
DEPTH = 50
"""Levels of nesting; the parser is recursive, in C."""
_STEPS = re.compile(rf"(?:[-?:][ \t]+){{{DEPTH}}}|^[ ]{{{4 * DEPTH}}}", re.MULTILINE)
_BRACKETS = re.compile(r"[\[\]{}]")


def loader() -> Any:
    """The safe loader, in C where there is one."""
    import yaml  # most commands of the server read no YAML

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def text(data: bytes) -> str:
    """The text of a file that has to be UTF-8, without a byte order mark."""
    for mark, name in MARKS.items():
        if data.startswith(mark):
            raise ValueError(f"it is {name}, and has to be UTF-8")
    if (at := data.find(b"\0")) >= 0:
        raise ValueError(f"line {_line(data, at)} has a zero byte: it is not UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"line {_line(data, error.start)} is not UTF-8") from None


def _line(data: bytes, at: int) -> int:
    return data.count(b"\n", 0, at) + 1


def load(data: bytes) -> Any:
    """What the YAML in a file stands for."""
    import yaml

    found = text(data)
    if conflict := CONFLICT.search(found):
        number = found.count("\n", 0, conflict.start()) + 1
        raise ValueError(f"line {number} is a mark of an unfinished merge: {conflict[0][:40]}")
    if _deep(found):
        raise ValueError(f"it is nested more than {DEPTH} levels deep")
    try:
        return yaml.load(found, Loader=loader())  # noqa: S506 - one of the safe ones
    except yaml.YAMLError as error:
        raise ValueError(_reason(error)) from None
    except (RecursionError, OverflowError, TypeError) as error:
        raise ValueError(f"it cannot be read: {error}") from None


def _deep(found: str) -> bool:
    """Whether it looks nested deeper than any project's file is."""
    depth = 0
    for bracket in _BRACKETS.finditer(found):
        depth = depth + 1 if bracket[0] in "[{" else max(depth - 1, 0)
        if depth > DEPTH:
            return True
    return bool(_STEPS.search(found))


def _reason(error: "yaml.YAMLError") -> str:
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is None or not problem:
        return str(error).splitlines()[0]
    return f"line {mark.line + 1}: {problem}"
