"""`[variables]`: Airflow's variables, plain ones and secrets from this side.

They reach the server as one JSON file beside that of the connections (connections.py).
"""

import json
import re
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Discriminator, SecretStr, Tag, model_validator

from mlops_install.secretref import secret
from mlops_install.section import SecretRef, Section, Wrong

PATH = "/etc/mlops/variables.json"
NAME = re.compile(r"[A-Za-z0-9_.-]{1,250}", re.ASCII)


def _plain(value: Any) -> Any:
    """What becomes JSON, which has no dates and no infinity."""
    if not isinstance(value, str | bool | int | float | list):
        raise ValueError("it must be a text, a number, true, false, a list or a reference")
    try:
        json.dumps(value, allow_nan=False)
    except (ValueError, TypeError):
        raise ValueError("a date, a time, nan and inf are no values: write it as a text") from None
    return value


def _kind(value: Any) -> str:
    return "reference" if isinstance(value, dict | SecretRef) else "plain"


Value = Annotated[
    Annotated[SecretRef, Tag("reference")]
    | Annotated[Annotated[Any, AfterValidator(_plain)], Tag("plain")],
    Discriminator(_kind),
]


class Variables(Section):
    """Airflow's variables: the name of each and its value. A text stays as it is; a number,
    `true`, `false` and a list reach DAGs as JSON. A reference is a secret.
    """

    EXAMPLE: ClassVar[tuple[str, Any]] = ("threshold", 0.8)
    model_config: ClassVar[Any] = Section.model_config | {"extra": "allow"}
    __pydantic_extra__: dict[str, Value]

    @model_validator(mode="after")
    def _names(self) -> "Variables":
        for name in self.all:
            if not NAME.fullmatch(name):
                raise Wrong("a variable's name is up to 250 letters, digits, _, . and -", name)
        return self

    @property
    def all(self) -> dict[str, Value]:
        """Name -> value, or where the value is."""
        return dict(self.__pydantic_extra__)


def document(variables: Variables) -> SecretStr:
    """The file for the server, with the secrets. Raises `ConfigError` that names the cause."""
    found = {name: _text(name, value) for name, value in sorted(variables.all.items())}
    return SecretStr(json.dumps(found, indent=1) + "\n")


def _text(name: str, value: Value) -> str:
    """What `Variable.get` returns; lists as they are would lose their brackets in Airflow."""
    if isinstance(value, SecretRef):
        return secret(value, "variables", name, lines=True).get_secret_value()
    return value if isinstance(value, str) else json.dumps(value)
