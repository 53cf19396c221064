"""What tables of the config file are made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Section(BaseModel):
    """A table of the config file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SecretRef(Section):
    """Where a secret is: `{ env = "NAME" }` or `{ file = "PATH" }`, never the secret itself."""

    env: str | None = None
    file: str | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> "SecretRef":
        if (self.env is None) == (self.file is None):
            raise ValueError('give one of { env = "NAME" } and { file = "PATH" }')
        return self


Port = Annotated[int, Field(ge=1, le=65535)]
Url = Annotated[str, Field(pattern=r"^https?://[^\s@]+$")]
Name = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]*$")]
