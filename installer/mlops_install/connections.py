"""`[connections.*]`: connections that Airflow finds, with secrets from this side.

They reach the server as one JSON file for Airflow's LocalFilesystemBackend, which reads it anew
for each look-up. So nothing has to be restarted, and a file is compared as any other secret file.
"""

import json
import re
from typing import Annotated, Any, ClassVar
from urllib.parse import quote, urlencode

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from mlops_install import names, reading
from mlops_install.secretref import optional, secret
from mlops_install.section import Port, SecretRef, Section, Wrong, beside, written

PATH = "/etc/mlops/connections.json"
CONNECTION_ID = re.compile(r"[a-z][a-z0-9_-]{0,199}", re.ASCII)
OFF = (False, 0, "false", "False", "0", "no", "off")
HANA = {"encrypt": "true", "sslValidateCertificate": "true"}
ENCRYPTED = {  # what a type calls "encrypted, certificate validated"
    "hana": HANA,
    "postgres": {"sslmode": "verify-full", "sslrootcert": "/etc/ssl/certs/ca-certificates.crt"},
}
TRUST = {"hana": "sslTrustStore", "postgres": "sslrootcert"}

Scalar = str | int | bool


def _scalar(value: Any) -> Any:
    if not isinstance(value, str | int | bool):
        raise ValueError("it must be a text, a whole number, true or false")
    return value


def _short(text: str) -> str:
    if len(text.encode()) > LONGEST:
        raise ValueError(f"it has more than {LONGEST} bytes")
    return text


def _host(text: str) -> str:
    if re.search(r"\s", text):
        raise ValueError("a host has no space in it")
    return _short(text)


LONGEST = 500
Text = Annotated[str, AfterValidator(_short)]
Place = Annotated[str, AfterValidator(_host)]
Type = Annotated[
    str,
    written("[a-z][a-z0-9_-]{0,99}", "up to 100 small letters, digits, _ and -, a letter first"),
]
Property = Annotated[str, written("[A-Za-z0-9_.:-]{1,200}", "the name of a property")]


class Connection(Section):
    """One connection."""

    type: Type = Field(
        description="Airflow's connection type.",
        examples=["postgres"],
    )
    host: Place | None = Field(None, description="Host.", examples=["db.example.org"])
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
    extra: dict[Property, Annotated[Any, AfterValidator(_scalar)]] = Field(
        {},
        description="Further settings of the type; not for secrets.",
        examples=[{"options": "-c statement_timeout=60000"}],
    )
    secret_extra: dict[Property, SecretRef] = Field(
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
        kind = info.data.get("type")
        if value and kind == "hana":
            return beside(value, info)
        if value and kind == "postgres" and not value.startswith("/"):
            raise ValueError("it must be a path on the server, from / on")
        return value

    @model_validator(mode="after")
    def _sound(self) -> "Connection":
        twice = self.extra.keys() & self.secret_extra.keys()
        if twice:
            both = ", ".join(sorted(twice))
            raise Wrong(f"{both} is in extra and in secret_extra: keep one", "secret_extra")
        if self.trust and self.type not in TRUST:
            raise Wrong(f"trust is only for the types {' and '.join(sorted(TRUST))}", "trust")
        hosts = (self.host or "/").split(",") if self.type in ENCRYPTED else ()
        for host in hosts:
            if not host.startswith("/") and (why := names.problem(host)):
                raise Wrong(f"{host}: {why}", "host")
        for name in ENCRYPTED.get(self.type, {}):
            for where in ("extra", "secret_extra"):
                if name in getattr(self, where):
                    raise Wrong(f"{name} is set by `encrypted`: remove it here", where, name)
        if not self.encrypted and self.type in ENCRYPTED and not _local(self.host):
            raise Wrong(
                "encrypted = false would send the password in the clear: only for a local host",
                "encrypted",
            )
        return self


class Connections(Section):
    """Airflow's connections: the name of each, and what it is; also as `[connections.NAME]`."""

    EXAMPLE: ClassVar[tuple[str, Any]] = (
        "sales",
        {"type": "postgres", "host": "db.example.org", "password": {"env": "SALES_PASSWORD"}},
    )
    model_config: ClassVar[Any] = Section.model_config | {"extra": "allow"}
    EACH = Connection
    __pydantic_extra__: dict[str, Connection]

    @model_validator(mode="after")
    def _names(self) -> "Connections":
        for name in self.all:
            if not CONNECTION_ID.fullmatch(name):
                raise Wrong("a connection's name is up to 200 small letters, digits, _ and -", name)
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
        keys = ("connections", name, "secret_extra", key)
        extra[key] = secret(reference, *keys, lines=True).get_secret_value()
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
    found = optional(one.password, "connections", name, "password")
    return None if found is None else found.get_secret_value()


def _trust(name: str, one: Connection) -> str:
    """A path of the server, or for HANA, whose driver takes it so, the text of the file."""
    if one.type != "hana":
        return str(one.trust)
    from mlops_install import certificate  # its library is read only where it is needed

    keys = ("connections", name, "trust")
    text = reading.pem(str(one.trust), *keys)
    certificate.read(text, *keys)
    return text


def _local(host: str | None) -> bool:
    return host is None or host.startswith("/") or host in ("localhost", "127.0.0.1", "::1")
