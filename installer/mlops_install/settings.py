"""Every setting of the config file: its type, default, description and an example."""

import re
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

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
Cuda = Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+$")]
Platform = Literal["linux-64", "linux-aarch64"]
Slots = Annotated[int, Field(ge=-1, le=10000)]
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
    locale: str = Field(
        "C.UTF-8",
        pattern=r"^(C|[a-z]{2,3}_[A-Z]{2})\.UTF-8$",
        description="Language of messages and sorting, such as de_CH.UTF-8. Airflow and its"
        " database stay at C.UTF-8.",
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
        description="Debian mirror for our own apt calls, instead of the server's sources.",
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
        description="Tasks at a time in each scheduler. Default: four per CPU, 8 to 32, fewer"
        " where memory is short.",
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


class Models(Section):
    """The conda environments of the models, from models/<name>/conda-lock.yml of the workflows."""

    platforms: list[Platform] = Field(
        ["linux-64"],
        min_length=1,
        description="Platforms that `mlops-install lock` locks for. The server's must be among"
        " them.",
    )
    cuda: Cuda | None = Field(
        None,
        description="CUDA version of the server's driver: GPU builds are locked for it, also on a"
        " machine without a GPU. Default: none, CPU builds. A model's model.toml wins over it.",
        examples=["12.8"],
    )
    keep: int = Field(
        2, ge=0, le=50, description="Earlier environments of each model to keep for a rollback."
    )
    channel_mirrors: dict[str, Url] = Field(
        {},
        description="Mirrors of conda channels, by the channel's name or address, for locking and"
        " for the server.",
        examples=[{"conda-forge": "https://mirror.example.org/conda-forge"}],
    )
    channel_user: str | None = Field(
        None, description="User at the hosts of channel_mirrors.", examples=["mlops"]
    )
    channel_password: SecretRef | None = Field(
        None, description="Where the password is.", examples=[{"env": "CHANNEL_PASSWORD"}]
    )
    pypi_names: str | None = Field(
        None,
        description="File or address of a map from PyPI's names to conda's, instead of the shipped"
        " one; it matters for pip sections only.",
        examples=["pypi-names.json"],
    )


class Workflows(Section):
    """The workflows: DAGs and models."""

    path: str | None = Field(
        None,
        description="Folder on this side with dags/ and models/, put onto the server as it is at"
        " the moment.",
        examples=["../forecasts"],
    )
    keep: int = Field(5, ge=1, le=100, description="Releases to keep, with their environments.")


class Pools(Section):
    """Airflow's pools: the name of each and its number of slots; -1 is without limit. The tasks
    of a model with `gpu = true` in its model.toml run in the pool gpu.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Slots]
    EXAMPLE: ClassVar[tuple[str, int]] = ("gpu", 1)

    @model_validator(mode="after")
    def _names(self) -> "Pools":
        for name in self.slots:
            if not re.fullmatch(r"[A-Za-z0-9_.-]{1,250}", name):
                raise ValueError("a pool's name is made of letters, digits, _, . and -")
        return self

    @property
    def slots(self) -> dict[str, int]:
        """Pool -> number of slots."""
        return dict(self.__pydantic_extra__)


class Proxy(Section):
    """nginx in front of Airflow: HTTPS."""

    server_name: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9.:-]+$",
        description="Name or address in the URL. Default: the one by which the server was reached"
        " the first time.",
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
    models: Models = Models()
    workflows: Workflows = Workflows()
    pools: Pools = Pools()
    proxy: Proxy = Proxy()


def sections() -> Iterator[tuple[str, type[Section]]]:
    """Name and model of each table of the config file."""
    for name, info in Config.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section):
            yield name, info.annotation
