"""The config file: one TOML file, read strictly.

A setting that is not known, or is of the wrong type, is refused with its file, line and the
nearest known name.
"""

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from mlops_server import tomltext
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefinedType

from mlops_install import places, reading, starter, texts, wrongvalues
from mlops_install.errors import ConfigError, dotted
from mlops_install.section import Section, Wrong, shown
from mlops_install.settings import Config, sections

FILE = "mlops.toml"
EVERY = "`mlops-install init example.toml` writes a file that explains every setting"


def load(path: Path | None) -> Config:
    """Read the config file; without one in the current folder, the defaults.

    Raises `ConfigError` that names the file, the line and the setting of every mistake.
    """
    if path is None and not Path(FILE).exists():
        return Config()
    path = path or Path(FILE)
    return parse(_text(path), str(path), reading.at_home(path, "--config").parent)


def parse(text: str, where: str, folder: Path | None = None) -> Config:
    """Read the text of a config file; `where` is its name for messages.

    Relative paths in it count from `folder`.
    """
    try:
        found = tomltext.loads(text)
    except ValueError as error:
        raise ConfigError(f"{where} is not TOML: {error}", fix="correct that line") from error
    wrong: dict[tuple[str, ...], str] = {}
    for keys, value, why in texts.problems(found):
        wrong.setdefault(keys, _told(keys, value, why))
    try:
        config = Config.model_validate(found, context={"folder": folder})
    except ValidationError as error:
        for one in error.errors():
            keys, message = _problem(found, dict(one))
            wrong.setdefault(keys, message)
    if wrong:
        raise _refused(text, where, wrong)
    return config


@contextmanager
def located(path: Path | None) -> Iterator[None]:
    """Tell an error about a setting with the line where the config file has it."""
    try:
        yield
    except ConfigError as error:
        path = path or Path(FILE)
        if not error.keys or not reading.is_file(path.expanduser()):
            raise
        line = places.line(_text(path), error.keys)
        raise ConfigError(f"{path}:{line}: {error.message}", fix=error.fix,
                          detail=error.detail) from error  # fmt: skip


def _text(path: Path) -> str:
    return reading.text(path, "--config")


def _refused(text: str, where: str, wrong: dict[tuple[str, ...], str]) -> ConfigError:
    lines = {keys: places.line(text, keys) for keys in wrong}
    ordered = sorted(wrong, key=lambda keys: lines[keys])
    problems = [f"{where}:{lines[keys]}: {dotted(keys)}: {wrong[keys]}" for keys in ordered]
    if len(problems) == 1:
        return ConfigError(problems[0], fix=_such(ordered[0]))
    return ConfigError("the config is not right", detail="\n".join(problems), fix=EVERY)


def _problem(found: Any, error: dict[str, Any]) -> tuple[tuple[str, ...], str]:
    """The names that lead to a wrong setting, and what is wrong with it."""
    cause = error.get("ctx", {}).get("error")
    keys = _written(found, (*error["loc"], *getattr(cause, "keys", ())))
    if error["type"] == "extra_forbidden":
        return keys, f"there is no such setting{_nearest(keys)}"
    if isinstance(cause, Wrong):
        return keys, str(cause)
    if cause is not None:  # ours, which tells what is right by itself
        return keys, _told(keys, error["input"], str(cause))
    message, value = wrongvalues.told(error), shown(list(keys), error["input"])
    return keys, f"{message}{', not ' if value else ''}{value}"


def _written(found: Any, path: Sequence[Any]) -> tuple[str, ...]:
    """Without what stands in no file: the number in a list, the kind of a value."""
    keys: list[str] = []
    for number, key in enumerate(path):
        if not isinstance(found, dict) or (key not in found and number < len(path) - 1):
            break
        keys.append(str(key))
        found = found.get(key)
    return tuple(keys)


def _told(keys: Sequence[str], value: Any, why: str) -> str:
    text = shown(list(keys), value)
    return f"{text}: {why}" if text and text not in why else why


def _such(keys: Sequence[str]) -> str:
    """What to write instead: as in the example."""
    field = _fields(_table(keys[:-1])).get(keys[-1])
    value = field and ((field.examples or [None])[0] or field.default)
    if value is None or isinstance(value, BaseModel | PydanticUndefinedType):
        return EVERY
    return f"write it such as `{keys[-1]} = {starter.toml(value)}`; {EVERY}"


def _table(keys: Sequence[str]) -> Any:
    """The model of the table that the names lead to; None where there is none."""
    model: Any = Config
    for key in keys:
        field = _fields(model).get(key)
        model = _section(field.annotation) if field else getattr(model, "EACH", None)
    return model


def _section(annotation: Any) -> Any:
    kinds = (annotation, *get_args(annotation))
    return next((k for k in kinds if isinstance(k, type) and issubclass(k, Section)), None)


def _fields(model: Any) -> dict[str, FieldInfo]:
    fields: dict[str, FieldInfo] = getattr(model, "model_fields", {})
    return {info.alias or name: info for name, info in fields.items()}


def _nearest(keys: Sequence[str]) -> str:
    known = list(_fields(_table(keys[:-1])))
    near = difflib.get_close_matches(keys[-1], known, 1, 0.5)
    elsewhere = [f"[{name}] {keys[-1]}" for name, m in sections() if keys[-1] in m.model_fields]
    guess = near or elsewhere
    return f"; did you mean {guess[0]}?" if guess else f"; known are {', '.join(known)}"
