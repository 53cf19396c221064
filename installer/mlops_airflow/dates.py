"""Runs without a logical date: what is missing then, and what to write instead. Without Airflow."""

import inspect
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

DATED = {
    *("ds", "ds_nodash", "ts", "ts_nodash", "ts_nodash_with_tz", "logical_date"),
    *("data_interval_start", "data_interval_end", "task_instance_key_str"),
}
_UNDEFINED = re.compile(r"'(\w+)' is undefined")


def missing(
    function: Callable[..., Any], found: Collection[str], args: Collection[Any]
) -> str | None:
    """The first argument that only a run with a logical date has, and that was not given."""
    parameters = list(inspect.signature(function).parameters.values())
    for parameter in parameters[len(args) :]:
        name, optional = parameter.name, parameter.default is not parameter.empty
        if name in DATED and name not in found and not optional:
            return name
    return None


def undefined(error: BaseException, context: Mapping[str, Any]) -> str | None:
    """The name in a template that only a run with a logical date has."""
    match = _UNDEFINED.search(str(error)) if type(error).__name__ == "UndefinedError" else None
    name = match[1] if match else ""
    return name if name in DATED and name not in context else None


def text(name: str, where: str) -> str:
    """Why it is not there, and what to write."""
    return (
        f"{where}: this run has no logical date, so it has no {name}: an asset started it, or a"
        f" request without `logical_date`. Write `{name}=None` for an argument that may be missing,"
        " or use the template `{{ dag_run.run_after | ds }}`, which each run has"
    )
