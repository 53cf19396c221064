"""`variables:` of environment.yml, as they are written there: `1.10` and `true` are texts."""

import re
from collections.abc import Iterator

import yaml

from mlops_server.models import ProjectError, reading

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
OURS = re.compile(r"PATH|CONDA_.*|MLOPS_.*")
"""What an environment is found by; a variable of this name would take it away."""


def read(data: bytes) -> dict[str, str]:
    """Name -> value. The file has passed `judge`."""
    return {name.value: str(value.value) for name, value in _pairs(data)}


def judge(data: bytes, where: str) -> None:
    """Raise `ProjectError` for a variable that cannot be set."""
    root = _root(data)
    for key, value in root.value if root else ():
        empty = isinstance(value, yaml.ScalarNode) and not value.value
        if key.value == "variables" and not isinstance(value, yaml.MappingNode) and not empty:
            raise ProjectError(
                f"{where}:{key.start_mark.line + 1}: variables must be `NAME: value`, not a list",
                fix="write `NAME: value` on a line for each",
            )
    for name, value in _pairs(data):
        _one(name, value, f"{where}:{name.start_mark.line + 1}: variables")


def _one(name: yaml.Node, value: yaml.Node, where: str) -> None:
    if not isinstance(name, yaml.ScalarNode) or not NAME.fullmatch(name.value):
        raise ProjectError(
            f"{where}: {str(name.value)[:60]!r} is not the name of a variable",
            fix="use letters, digits and _, a letter first",
        )
    if OURS.fullmatch(name.value):
        raise ProjectError(
            f"{where}: {name.value} is set by the environment itself", fix="leave it out"
        )
    if not isinstance(value, yaml.ScalarNode) or "\0" in value.value:
        raise ProjectError(
            f"{where}: {name.value} is not a text", fix="write one text behind each name"
        )


def _pairs(data: bytes) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    root = _root(data)
    for key, value in root.value if root else ():
        if key.value == "variables" and isinstance(value, yaml.MappingNode):
            yield from value.value


def twice(data: bytes) -> Iterator[tuple[int, str]]:
    """Line and name of a setting, or a variable, that is there once more."""
    root = _root(data)
    tables = [root.value if root else [], list(_pairs(data))]
    for table in tables:
        seen: set[str] = set()
        for key, _ in table:
            if str(key.value) in seen:
                yield key.start_mark.line + 1, str(key.value)
            seen.add(str(key.value))


def _root(data: bytes) -> yaml.MappingNode | None:
    root = yaml.compose(reading.text(data), Loader=reading.loader())
    return root if isinstance(root, yaml.MappingNode) else None
