"""What tables of the config file are made of."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationInfo,
    model_validator,
)
from pydantic_core import core_schema

from mlops_install import addresses


class Wrong(ValueError):  # noqa: N818 - reads as what it is
    """A setting of a table that does not go with the others; `keys` lead to it."""

    def __init__(self, message: str, *keys: str) -> None:
        super().__init__(message)
        self.keys = keys


@dataclass(frozen=True)
class Judged:
    """What a text has to be, in words for the reference; `problem` tells why one is not."""

    says: str
    problem: Callable[[str], str]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def _check(self, text: str) -> str:
        if why := self.problem(text):
            raise ValueError(why)
        return text


def written(pattern: str, says: str) -> Judged:
    """What has to be written in a certain way, in letters of ASCII."""
    found = re.compile(pattern, re.ASCII)
    return Judged(says, lambda text: "" if found.fullmatch(text) else f"it must be {says}")


def each_once(values: list[str]) -> list[str]:
    """A list without repetitions. Raises `ValueError`."""
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{value} is there twice")
    return values


def beside(value: str, info: ValidationInfo) -> str:
    """A path on this side; a relative one counts from the folder of the config file."""
    folder = (info.context or {}).get("folder")
    try:
        path = Path(value).expanduser()
    except RuntimeError:
        raise ValueError(f"there is no user {value.split('/')[0].removeprefix('~')} here") from None
    return value if folder is None else str(folder / path)


def _beside(value: str, info: ValidationInfo) -> str:
    if "://" not in value:
        return beside(value, info)
    if why := addresses.problem(value):
        raise ValueError(why)
    return value


LocalPath = Annotated[str, AfterValidator(beside)]
LocalPathOrUrl = Annotated[str, AfterValidator(_beside)]


class Section(BaseModel):
    """A table of the config file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    EACH: ClassVar[Any] = None
    """What stands under each free name, where that is a table."""

    def requires(self, name: str, other: str) -> None:
        """Raise `Wrong` when one setting is there without the one that it belongs to."""
        if getattr(self, name) is not None and getattr(self, other) is None:
            raise Wrong(f"it does nothing without {other}", name)


class SecretRef(Section):
    """Where a secret is: `{ env = "NAME" }` or `{ file = "PATH" }`, never the secret itself."""

    env: (
        Annotated[str, written("[A-Za-z_][A-Za-z0-9_]{0,254}", "the name of a variable")] | None
    ) = None
    file: LocalPath | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> "SecretRef":
        if (self.env is None) == (self.file is None):
            raise ValueError('give one of { env = "NAME" } and { file = "PATH" }')
        return self


SHOWN = 80
"""Characters of a wrong value."""
LOGIN = re.compile(r"(?<=://)[^/?#\s]*@")
"""Whatever stands before the host in an address: a user, a password, or a token alone."""
SECRET = re.compile(r"password|passphrase|secret|token", re.IGNORECASE)
"""In the name of a setting whose value no message may show."""


def without_login(url: str) -> str:
    """An address that may be shown and logged. Raises `ValueError`; the text has no part of it."""
    found = LOGIN.search(url)
    if found and (url.startswith("http") or ":" in found[0]):
        raise ValueError(addresses.WITH_LOGIN)
    if addresses.TOKEN.search(url):
        raise ValueError(addresses.WITH_TOKEN)
    return url


USER = re.compile(r"user|login")
KEY = re.compile(r"AGE-SECRET-KEY-|PRIVATE KEY")
"""In a value that is a secret, wherever it stands."""


def shown(keys: list[str], value: object) -> str:
    """A wrong value for a message, without what may be a secret; a table is not repeated."""
    if value in ("", None) or isinstance(value, dict | list | BaseModel):
        return ""
    if any(SECRET.search(key) for key in keys):
        return ""
    text = repr(value) if isinstance(value, str) else str(value)
    if ":" in text and any(USER.search(key) for key in keys):
        return ""  # a password may be behind it
    if any(found.search(text) for found in (LOGIN, addresses.TOKEN, KEY)):
        return ""
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


AddressOrPath = Annotated[LocalPathOrUrl, AfterValidator(without_login)]
Port = Annotated[int, Field(ge=1, le=65535)]
Url = Annotated[str, Judged("an http(s) address without a login", addresses.problem)]
User = Annotated[str, Judged("a user's name", addresses.user)]
