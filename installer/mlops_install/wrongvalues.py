"""What is wrong with a value of the config, in the words of who wrote it."""

from collections.abc import Sequence
from typing import Any

from pydantic.fields import FieldInfo

from mlops_install.settings import Config
from mlops_install.starter import toml

TEXTS = {
    "bool_type": "it must be true or false",
    "dict_type": 'it must be a table, such as {{ name = "value" }}',
    "greater_than_equal": "it must be at least {ge}",
    "int_from_float": "it must be a whole number",
    "int_type": "it must be a whole number",
    "less_than_equal": "it must be at most {le}",
    "list_type": 'it must be a list, such as ["one", "two"]',
    "literal_error": "it must be {expected}",
    "missing": "it is needed, and not set",
    "model_type": "it must be a table",
    "string_pattern_mismatch": "it must match {pattern}, such as {example}",
    "string_type": "it must be a text in quotes",
}
REFERENCE = 'it must be { env = "NAME" } or { file = "PATH" }, which is where the secret is read'

ELSEWHERE = "the example in docs/config.md"


def told(error: dict[str, Any], keys: Sequence[str]) -> str:
    """One sentence; pydantic's own where none of ours fits."""
    given = error.get("ctx", {}) | {"example": _example(keys) or ELSEWHERE}
    if given.get("class_name") == "SecretRef":
        return REFERENCE
    if error["type"] in TEXTS:
        return TEXTS[error["type"]].format(**given)
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{message[0].lower()}{message[1:]}"


def _example(keys: Sequence[str]) -> str:
    """A value that would do, as it is written in the file; empty for none."""
    info = _setting(keys)
    good = (info.examples or [info.default])[0] if info else None
    return toml(good) if isinstance(good, str) else ""


def _setting(keys: Sequence[str]) -> FieldInfo | None:
    """The description of a setting by its keys in the file."""
    section = Config.model_fields.get(keys[0])
    fields = getattr(section.annotation, "model_fields", {}) if section else {}
    return fields.get(keys[1]) if len(keys) == 2 else None
