"""The config file: one TOML file, read strictly.

A setting that is not known, or is of the wrong type, is refused with its file, line and the
nearest known name. Every setting's description here is the one that `mlops.example.toml` shows.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from mlops_install.errors import ConfigError

FILE = "mlops.toml"


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

    def read(self) -> SecretStr:
        """The secret. Raises `ConfigError` when the variable or the file is not there."""
        if self.env is not None:
            if self.env not in os.environ:
                raise ConfigError(
                    f"the environment variable {self.env} is not set",
                    fix=f"set it, or change the setting that names {self.env}",
                )
            return SecretStr(os.environ[self.env])
        return SecretStr(_text(Path(self.file or "").expanduser()).strip())


Port = Annotated[int, Field(ge=1, le=65535)]
Url = Annotated[str, Field(pattern=r"^https?://[^\s@]+$")]
Name = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]*$")]


class Server(Section):
    """Which server, and how to log in."""

    host: str | None = Field(
        None,
        description='user@host[:port], a name from the ssh config, or "local" for this machine.'
        " The argument of a command wins over it.",
        examples=["admin@ml.example.org"],
    )
    ssh_config: str | None = Field(
        None,
        description="ssh config file, instead of ~/.ssh/config.",
        examples=["~/.ssh/config"],
    )
    connect_timeout: int = Field(15, ge=1, le=600, description="Seconds to wait for an answer.")


class Base(Section):
    """The operating system, and how it reaches the world."""

    timezone: str = Field(
        "Etc/UTC",
        pattern=r"^[A-Za-z0-9_+/-]+$",
        description="Time zone of the server and default of Airflow's schedules.",
    )
    packages: list[str] = Field(
        [], description="Further Debian packages to install.", examples=[["git-lfs"]]
    )
    journal_max: str = Field(
        "1G", pattern=r"^[0-9]+[KMGT]$", description="How much disk the journal may use."
    )
    apt_lock_timeout: int = Field(
        300, ge=0, description="Seconds to wait while another program uses apt."
    )
    apt_mirror: Url | None = Field(
        None,
        description="Debian mirror for our own apt calls, instead of the server's sources;"
        " `{suite}` is not needed.",
        examples=["https://mirror.example.org/debian"],
    )
    apt_security_mirror: Url | None = Field(
        None,
        description="The same for security updates. Needed with apt_mirror, unless the mirror"
        " has none.",
        examples=["https://mirror.example.org/debian-security"],
    )
    http_proxy: Url | None = Field(
        None,
        description="HTTP(S) proxy for apt and Python downloads.",
        examples=["http://proxy.example.org:3128"],
    )
    http_proxy_user: str | None = Field(None, description="User at the proxy.", examples=["mlops"])
    http_proxy_password: SecretRef | None = Field(
        None,
        description="Where its password is: an environment variable or a file on this side.",
        examples=[{"env": "PROXY_PASSWORD"}],
    )
    no_proxy: list[str] = Field(
        [], description="Hosts to reach without the proxy.", examples=[["mirror.example.org"]]
    )
    ca_bundle: str | None = Field(
        None,
        description="File (PEM) with further certificate authorities that the server shall trust.",
        examples=["corporate-ca.pem"],
    )
    python_index: Url | None = Field(
        None,
        description="Python package index (simple API), instead of PyPI.",
        examples=["https://pypi.example.org/simple"],
    )
    python_index_user: str | None = Field(
        None, description="User at the index.", examples=["mlops"]
    )
    python_index_password: SecretRef | None = Field(
        None,
        description="Where its password is.",
        examples=[{"file": "~/.config/pypi-password"}],
    )


class Postgres(Section):
    """PostgreSQL, for Airflow's own data."""

    shared_buffers_mb: int | None = Field(
        None,
        ge=16,
        description="Memory for the cache, in MiB. Default: an eighth of the memory, 4096 at most.",
        examples=[1024],
    )
    max_connections: int | None = Field(
        None,
        ge=20,
        description="Default: what the schedulers, API workers and the others can open at most.",
        examples=[200],
    )
    adopt: bool = Field(
        False,
        description="Take over a database or role `airflow` that is there already.",
    )


class Airflow(Section):
    """Airflow."""

    version: Literal["3.3.2"] = Field("3.3.2", description="Version; there is one lock file each.")
    schedulers: int = Field(
        2, ge=1, le=8, description="Schedulers, each with its own tasks (LocalExecutor)."
    )
    parallelism: int | None = Field(
        None,
        ge=1,
        le=256,
        description="Tasks at a time in each scheduler. Default: four per CPU, 8 to 32, as far as"
        " the memory goes.",
        examples=[16],
    )
    api_workers: int | None = Field(
        None,
        ge=1,
        le=32,
        description="Worker processes of the API server. Default: one per CPU, 2 to 4.",
        examples=[4],
    )
    drain_timeout: int = Field(
        3600,
        ge=10,
        le=604800,
        description="Seconds that a scheduler which is stopped (also by a reboot) waits for its"
        " running tasks before they are killed and run again.",
    )
    admin_user: Name = Field("admin", description="First user; the password is made on the server.")
    admin_email: str = Field("admin@localhost", description="Its e-mail address.")
    log_days: int = Field(30, ge=1, description="Days to keep the logs of tasks.")


class Proxy(Section):
    """nginx in front of Airflow: HTTPS."""

    server_name: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9.:-]+$",
        description="Name or address in the URL. Default: the address that you log in to.",
        examples=["ml.example.org"],
    )
    certificate: str | None = Field(
        None,
        description="Certificate chain (PEM) on this side. Default: self-signed, made on the"
        " server.",
        examples=["ml.example.org.pem"],
    )
    certificate_key: str | None = Field(
        None,
        description="Its private key (PEM).",
        examples=["ml.example.org.key"],
    )

    @model_validator(mode="after")
    def _both_or_none(self) -> "Proxy":
        if (self.certificate is None) != (self.certificate_key is None):
            raise ValueError("certificate and certificate_key go together")
        return self


class Config(Section):
    """The whole config file."""

    server: Server = Server()
    base: Base = Base()
    postgres: Postgres = Postgres()
    airflow: Airflow = Airflow()
    proxy: Proxy = Proxy()


def load(path: Path | None) -> Config:
    """Read the config file; without one in the current folder, the defaults.

    Raises `ConfigError` that names the file, the line and the setting of every mistake.
    """
    if path is None and not Path(FILE).exists():
        return Config()
    path = path or Path(FILE)
    return parse(_text(path), str(path))


def parse(text: str, where: str) -> Config:
    """Read the text of a config file; `where` is its name for messages."""
    try:
        return Config.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: {error}", fix="mend the line; the syntax is TOML") from error
    except ValidationError as error:
        problems = [_problem(text, where, dict(e)) for e in error.errors()]
        raise ConfigError(
            "the config is not right" if len(problems) > 1 else problems[0],
            detail="\n".join(problems) if len(problems) > 1 else "",
            fix="every setting stands in mlops.example.toml (`mlops-install init` writes one)",
        ) from error


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error


def _problem(text: str, where: str, error: dict[str, Any]) -> str:
    keys = [str(key) for key in error["loc"]]
    place = f"{where}:{_line(text, keys)}: {_dotted(keys)}"
    if error["type"] == "extra_forbidden":
        return f"{place}: there is no such setting{_nearest(keys)}"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{place}: {message[0].lower()}{message[1:]}, not {error['input']!r}"


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


def sections() -> Iterator[tuple[str, type[Section]]]:
    """Name and model of each table of the config file."""
    for name, info in Config.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section):
            yield name, info.annotation
