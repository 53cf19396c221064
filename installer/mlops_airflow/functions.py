"""A task's function as what the runner wants, and what came back. Without Airflow."""

import inspect
import json
import linecache
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import FunctionType
from typing import Any

from mlops_airflow import annotations, runner
from mlops_airflow.environments import Environment


def plain(function: Callable[..., Any]) -> FunctionType:
    """The function itself, without wrappers. Raises `TypeError` when it cannot travel."""
    found = inspect.unwrap(function)
    if not isinstance(found, FunctionType) or found.__name__ == "<lambda>":
        raise TypeError(f"{function!r} is not a function made with def")
    name = found.__name__
    if inspect.isgeneratorfunction(found) or inspect.isasyncgenfunction(found):
        raise TypeError(f"{name} uses yield: a task returns its result")
    if inspect.iscoroutinefunction(found):
        raise TypeError(f"{name} is async: call asyncio.run inside a plain function")
    outside = [free for free in found.__code__.co_freevars if free != name]
    if outside:
        raise TypeError(
            f"{name} uses {', '.join(outside)} of the function around it:"
            " pass it as an argument, or import it inside"
        )
    return found


def file_of(function: Callable[..., Any]) -> str:
    """The real path of the file that the function is in."""
    return os.path.realpath(plain(function).__code__.co_filename)


def source_of(function: FunctionType, file: str) -> str:
    """The lines of the function with its decorators, as they are in `file`."""
    lines = linecache.getlines(file)
    first = function.__code__.co_firstlineno - 1
    if len(lines) <= first:
        raise OSError(f"the source of {function.__name__} cannot be read from {file}")
    return "".join(inspect.getblock(lines[first:]))


def request(
    function: Callable[..., Any],
    file: str,
    args: Collection[Any],
    kwargs: Mapping[str, Any],
    environment: Environment,
    *,
    decorated: bool,
) -> bytes:
    """What the runner reads. Raises `RefusedError` for an argument that cannot travel."""
    found = plain(function)
    folder = environment.model_folder
    names = list(inspect.signature(found).parameters)
    return json.dumps(
        {
            "source": annotations.as_texts(source_of(found, file)),
            "file": file,
            "line": found.__code__.co_firstlineno,
            "flags": annotations.flags(found),
            "name": found.__name__,
            "decorated": decorated,
            "args": [
                runner.encode(value, _argument(names[i] if i < len(names) else str(i)))
                for i, value in enumerate(args)
            ],
            "kwargs": {key: runner.encode(value, _argument(key)) for key, value in kwargs.items()},
            "path": [str(folder)] if folder else [],
        }
    ).encode()


def _argument(name: str) -> str:
    return f"argument {name}"


def error_text(error: Mapping[str, Any], release: Path | None) -> str:
    """The error of a function in one line: what, and where in the DAG's file."""
    text = str(error["text"])
    if "file" not in error:
        return text
    file = Path(error["file"])
    if release and file.is_relative_to(release):
        file = file.relative_to(release)
    return f"{text} ({file}, line {error['line']})"
