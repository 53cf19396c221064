"""The config file: one TOML file, read strictly.

A setting that is not known, or is of the wrong type, is refused with its file, line and the
nearest known name.
"""

import difflib
import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mlops_install.errors import ConfigError
from mlops_install.section import shown
from mlops_install.settings import Config, sections

FILE = "mlops.toml"


def load(path: Path | None) -> Config:
    """Read the config file; without one in the current folder, the defaults.

    Raises `ConfigError` that names the file, the line and the setting of every mistake.
    """
    if path is None and not Path(FILE).exists():
        return Config()
    path = path or Path(FILE)
    return parse(_text(path), str(path), path.expanduser().parent)


def parse(text: str, where: str, folder: Path | None = None) -> Config:
    """Read the text of a config file; `where` is its name for messages.

    Relative paths in it count from `folder`.
    """
    try:
        return Config.model_validate(tomllib.loads(text), context={"folder": folder})
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where} is not TOML: {error}", fix="correct that line") from error
    except ValidationError as error:
        problems = [_problem(text, where, dict(e)) for e in error.errors()]
        raise ConfigError(
            "the config is not right" if len(problems) > 1 else problems[0],
            detail="\n".join(problems) if len(problems) > 1 else "",
            fix="`mlops-install init example.toml` writes a file that explains every setting",
        ) from error


def _text(path: Path) -> str:
    try:
        return path.expanduser().read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}",
            fix="correct --config, or the rights of the file",
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8: {error}", fix="save it as UTF-8") from error


def _problem(text: str, where: str, error: dict[str, Any]) -> str:
    keys = [str(key) for key in error["loc"]]
    place = f"{where}:{_line(text, keys)}: {_dotted(keys)}"
    if error["type"] == "extra_forbidden":
        return f"{place}: there is no such setting{_nearest(keys)}"
    from mlops_install import wrongvalues  # most configs are right

    said = wrongvalues.told(error, keys)
    value = shown(keys, error["input"])
    if error["type"] == "value_error":  # ours, which tells what is right by itself
        return f"{place}: {value}{': ' if value else ''}{said}"
    return f"{place}: {said}{', not ' if value else ''}{value}"


def _dotted(keys: list[str]) -> str:
    return keys[0] if len(keys) == 1 else f"[{keys[0]}] {'.'.join(keys[1:])}"


def _line(text: str, keys: list[str]) -> int:
    """The line of a setting, or else of its table: TOML parsers keep no positions."""
    section, found = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\s*([\w.-]+)\s*\]", line):
            section = header[1]
            found = number if section == keys[0] else found
        path = [*section.split("."), *re.findall(r"^\s*([\w.-]+)\s*=", line)]
        if [key for key in path if key] == keys[: max(len(path), 1)] and "=" in line:
            return number
    return found or 1


def _nearest(keys: list[str]) -> str:
    section = Config.model_fields.get(keys[0]) if len(keys) > 1 else None
    model = section.annotation if section else Config
    known = list(getattr(model, "model_fields", {}))
    near = difflib.get_close_matches(keys[-1], known, 1, 0.5)
    elsewhere = [f"[{name}] {keys[-1]}" for name, m in sections() if keys[-1] in m.model_fields]
    guess = near or elsewhere
    return f"; did you mean {guess[0]}?" if guess else f"; known are {', '.join(known)}"
