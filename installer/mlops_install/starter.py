"""The commented config files: the starter that `init` writes, and the full example."""

import inspect
import json
import re
from collections.abc import Iterator
from textwrap import wrap
from typing import Any

from pydantic.fields import FieldInfo

from mlops_install.section import Section
from mlops_install.settings import sections

HEAD = """\
# The config of mlops-install. Every setting is here with its default; one that is commented
# out is not set, and shows an example. Nothing here is a secret: where one is needed, the
# setting says in which environment variable or file it is.
"""


def example() -> str:
    """The text of mlops.example.toml: every setting with its description and default."""
    return HEAD + "".join(f"\n{_section(name, model)}" for name, model in sections())


def _section(name: str, model: type[Section]) -> str:
    lines = [*_comment(inspect.getdoc(model) or ""), f"[{name}]"]
    if example := getattr(model, "EXAMPLE", None):
        lines += ["", f"# {example[0]} = {toml(example[1])}"]
    for key, info in model.model_fields.items():
        lines += ["", *_setting(key, info)]
    return "\n".join(lines) + "\n"


def _setting(key: str, info: FieldInfo) -> Iterator[str]:
    yield from _comment(info.description or "")
    if info.default is None:
        yield f"# {key} = {toml((info.examples or [''])[0])}"
    else:
        yield f"{key} = {toml(info.default)}"


def _comment(text: str) -> Iterator[str]:
    for line in wrap(text, 94):
        yield f"# {line}"


def toml(value: Any) -> str:
    """A value as TOML: strings, numbers, booleans, lists, and tables in one line."""
    if isinstance(value, dict):
        pairs = ", ".join(f"{_key(key)} = {toml(v)}" for key, v in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(toml(v) for v in value) + "]"
    return json.dumps(value)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[\w-]+", key, re.ASCII) else json.dumps(key)
