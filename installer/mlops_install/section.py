"""What tables of the config file are made of."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    model_validator,
)


def beside(value: str, info: ValidationInfo) -> str:
    """A path on this side; a relative one counts from the folder of the config file."""
    folder = (info.context or {}).get("folder")
    return value if folder is None else str(folder / Path(value).expanduser())


def _beside(value: str, info: ValidationInfo) -> str:
    return value if "://" in value else beside(value, info)


LocalPath = Annotated[str, AfterValidator(beside)]
LocalPathOrUrl = Annotated[str, AfterValidator(_beside)]


class Section(BaseModel):
    """A table of the config file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SecretRef(Section):
    """Where a secret is: `{ env = "NAME" }` or `{ file = "PATH" }`, never the secret itself."""

    env: str | None = None
    file: LocalPath | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> "SecretRef":
        if (self.env is None) == (self.file is None):
            raise ValueError('give one of { env = "NAME" } and { file = "PATH" }')
        return self


LOGIN = re.compile(r"(?<=://)[^/?#\s]*@")
"""Whatever stands before the host in an address: a user, a password, or a token alone."""
TOKEN = re.compile(r"https?://[^\s?#]*\?[^\s]*(?:token|key|secret|sig|password)[^=&]*=", re.I)
"""A token in the query of an address."""
SECRET = re.compile(r"password|passphrase|secret|token", re.IGNORECASE)
"""In the name of a setting whose value no message may show."""


def without_login(url: str) -> str:
    """An address that may be shown and logged. Raises `ValueError`; the text has no part of it."""
    found = LOGIN.search(url)
    if found and (url.startswith("http") or ":" in found[0]):
        raise ValueError("a login is part of the address, which is shown and logged")
    if TOKEN.search(url):
        raise ValueError("a token is part of the address, which is shown and logged")
    return url


def shown(keys: list[str], value: object) -> str:
    """A wrong value for a message, without what may be a secret; a table is not repeated."""
    if isinstance(value, dict | list | BaseModel) or any(SECRET.search(key) for key in keys):
        return ""
    text = repr(value)
    return "" if LOGIN.search(text) or TOKEN.search(text) else text


Address = Annotated[str, AfterValidator(without_login)]
AddressOrPath = Annotated[LocalPathOrUrl, AfterValidator(without_login)]
Port = Annotated[int, Field(ge=1, le=65535)]
Url = Annotated[str, Field(pattern=r"^https?://[^\s@]+$")]
Name = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]*$")]
