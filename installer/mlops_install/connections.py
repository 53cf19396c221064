"""`[connections.*]`: connections that Airflow finds, with secrets from this side.

They reach the server as one JSON file for Airflow's LocalFilesystemBackend, which reads it anew
for each look-up. So nothing has to be restarted, and a file is compared as any other secret file.
"""

import json
import re
from pathlib import Path
from typing import Annotated, Any, ClassVar
from urllib.parse import quote, urlencode

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator

from mlops_install.errors import ConfigError
from mlops_install.secretref import secret
from mlops_install.section import Port, SecretRef, Section, beside

PATH = "/etc/mlops/connections.json"
CONNECTION_ID = re.compile(r"[a-z][a-z0-9_-]{0,199}")
OFF = (False, 0, "false", "False", "0", "no", "off")
HANA = {"encrypt": "true", "sslValidateCertificate": "true"}
ENCRYPTED = {  # what a type calls "encrypted, certificate validated"
    "hana": HANA,
    "postgres": {"sslmode": "verify-full", "sslrootcert": "/etc/ssl/certs/ca-certificates.crt"},
}
TRUST = {"hana": "sslTrustStore", "postgres": "sslrootcert"}

Text = Annotated[str, Field(max_length=500)]
Scalar = str | int | bool


class Connection(Section):
    """One connection."""

    type: str = Field(
        pattern=r"^[a-z][a-z0-9_-]*$",
        description="Airflow's connection type.",
        examples=["postgres"],
    )
    host: Text | None = Field(None, description="Host.", examples=["db.example.org"])
    port: Port | None = Field(None, description="Port.", examples=[5432])
    login: Text | None = Field(None, description="User.", examples=["forecasts"])
    password: SecretRef | None = Field(
        None,
        description="Where the password is: an environment variable or a file on this side.",
        examples=[{"env": "SALES_PASSWORD"}],
    )
    schema_name: Text | None = Field(
        None, alias="schema", description="Database, or tenant of SAP HANA.", examples=["sales"]
    )
    extra: dict[str, Scalar] = Field(
        {},
        description="Further settings of the type; not for secrets.",
        examples=[{"options": "-c statement_timeout=60000"}],
    )
    secret_extra: dict[str, SecretRef] = Field(
        {}, description="The same for secrets.", examples=[{"key": {"file": "~/.config/key"}}]
    )
    trust: str | None = Field(
        None,
        description="hana: file (PEM) on this side with the authorities that signed the server's"
        " certificate. postgres: such a file on the server. Default: those of the system.",
        examples=["hana-ca.pem"],
    )
    encrypted: bool = Field(
        True,
        description="hana and postgres: TLS with a validated certificate. Say false only for a"
        " host that is this machine.",
    )

    @field_validator("trust")
    @classmethod
    def _on_this_side(cls, value: str | None, info: ValidationInfo) -> str | None:
        return beside(value, info) if value and info.data.get("type") == "hana" else value

    @model_validator(mode="after")
    def _sound(self) -> "Connection":
        twice = self.extra.keys() & self.secret_extra.keys()
        if twice:
            raise ValueError(
                f"{', '.join(sorted(twice))} is in extra and in secret_extra: keep one"
            )
        if self.trust and self.type not in TRUST:
            raise ValueError(f"trust is only for the types {' and '.join(sorted(TRUST))}")
        for name in ENCRYPTED.get(self.type, {}):
            if name in self.extra or name in self.secret_extra:
                raise ValueError(
                    f"{name} is set by `encrypted`: remove it from extra and secret_extra"
                )
        if not self.encrypted and self.type in ENCRYPTED and not _local(self.host):
            raise ValueError(
                "encrypted = false would send the password in the clear: only for a local host"
            )
        return self


class Connections(Section):
    """Airflow's connections: the name of each, and what it is; also as `[connections.NAME]`."""

    EXAMPLE: ClassVar[tuple[str, Any]] = (
        "sales",
        {"type": "postgres", "host": "db.example.org", "password": {"env": "SALES_PASSWORD"}},
    )
    model_config: ClassVar[Any] = Section.model_config | {"extra": "allow"}
    __pydantic_extra__: dict[str, Connection]

    @model_validator(mode="after")
    def _names(self) -> "Connections":
        for name in self.all:
            if not CONNECTION_ID.fullmatch(name):
                raise ValueError("a connection's name is made of small letters, digits, _ and -")
        return self

    @property
    def all(self) -> dict[str, Connection]:
        """Name -> connection."""
        return dict(self.__pydantic_extra__)


def document(connections: Connections) -> SecretStr:
    """The file for the server, with the secrets. Raises `ConfigError` that names the setting."""
    found = {name: _entry(name, one) for name, one in sorted(connections.all.items())}
    return SecretStr(json.dumps(found, indent=1) + "\n")


def hana_url(
    host: str, port: int, user: str, password: str, database: str = "", **more: str
) -> str:
    """The URL for SQLAlchemy's dialect `hana`: encrypted, with a validated certificate.

    `more` are properties of the driver, such as sslTrustStore. Raises `ValueError` when one of
    them would switch the encryption or the validation off.
    """
    for name, value in more.items():
        if name in HANA and value in OFF:
            raise ValueError(f"{name} cannot be switched off")
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    place = f"[{host}]" if ":" in host else host
    query = urlencode({**HANA, **more}, quote_via=quote)
    return f"hana://{login}@{place}:{port}/{quote(database, safe='')}?{query}"


def _entry(name: str, one: Connection) -> dict[str, Any]:
    extra: dict[str, Scalar] = dict(one.extra)
    for key, reference in one.secret_extra.items():
        setting = f"[connections.{name}] secret_extra.{key}"
        extra[key] = secret(reference, setting).get_secret_value()
    if one.encrypted:
        extra |= ENCRYPTED.get(one.type, {})
    if one.trust:
        extra[TRUST[one.type]] = _trust(name, one)
    found = {
        "conn_type": one.type,
        "host": one.host,
        "port": one.port,
        "login": one.login,
        "password": _password(name, one),
        "schema": one.schema_name,
        "extra": extra or None,
    }
    return {key: value for key, value in found.items() if value is not None}


def _password(name: str, one: Connection) -> str | None:
    if one.password is None:
        return None
    return secret(one.password, f"[connections.{name}] password").get_secret_value()


def _trust(name: str, one: Connection) -> str:
    """A path of the server, or for HANA, whose driver takes it so, the text of the file."""
    if one.type != "hana":
        return str(one.trust)
    try:
        text = Path(str(one.trust)).expanduser().read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"[connections.{name}] trust: {error}", fix="correct the path") from error
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise ConfigError(
            f"[connections.{name}] trust: {one.trust} is not a PEM file",
            fix="set it to the authority's certificate in PEM form",
        )
    return text


def _local(host: str | None) -> bool:
    return host is None or host.startswith("/") or host in ("localhost", "127.0.0.1", "::1")
