"""Every setting of the config file: its type, default, description and an example."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, field_validator, model_validator

from mlops_install import names, timezones
from mlops_install.backupsettings import Backup
from mlops_install.connections import Connections
from mlops_install.section import LocalPath, Name, SecretRef, Section, Url
from mlops_install.variables import Variables
from mlops_install.workflowsettings import Models, Pools, Workflows


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
    ca_bundle: LocalPath | None = Field(
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

    @field_validator("timezone")
    @classmethod
    def _zone(cls, name: str) -> str:
        if problem := timezones.problem(name):
            raise ValueError(problem)
        return name


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

    version: Literal["3.1.8", "3.2.2", "3.3.1", "3.3.2"] = Field(
        "3.3.2", description="Version; there is one lock file each."
    )
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
    when_tasks_outlast: Literal["give-up", "wait", "stop"] = Field(
        "give-up",
        description="What an upgrade that changes the database does under --yes when tasks still"
        " run after drain_timeout: give up and change nothing, wait without end, or stop them;"
        " those that are stopped run again afterwards.",
    )
    admin_user: Name = Field("admin", description="First user; the password is made on the server.")
    admin_email: str = Field("admin@localhost", description="Its e-mail address.")
    max_map_length: int = Field(
        1024,
        ge=1,
        le=100000,
        description="Tasks that one `expand` may become; more fail the task whose result is"
        " expanded, or the run.",
    )
    log_days: int = Field(30, ge=1, description="Days to keep the logs of tasks.")
    xcom_threshold: int = Field(
        262144,
        ge=-1,
        description="Results of tasks that are larger than this many bytes go to files below"
        " /srv/mlops/data/xcom instead of the database; -1 for none.",
    )
    xcom_path: str | None = Field(
        None,
        pattern=r"^s3://[a-z][a-z0-9_-]*@[a-z0-9][a-z0-9.-]+(/[A-Za-z0-9._-]+)*$",
        description="S3-compatible store for those results instead: s3://CONNECTION@BUCKET/FOLDER"
        " with a connection of type aws from [connections].",
        examples=["s3://store@forecasts/xcom"],
    )
    xcom_days: int = Field(
        30, ge=1, description="Days to keep those files; a bucket needs a lifecycle rule instead."
    )


LOOPBACK_PORTS = frozenset({8080, 8081, 8082, 8793, 8794, *range(8974, 8982)})


class Proxy(Section):
    """nginx in front of Airflow: HTTPS."""

    server_name: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9.:-]+$",
        description="Name or address in the URL. Default: the one by which the server was reached"
        " the first time.",
        examples=["ml.example.org"],
    )
    https_port: int = Field(443, ge=1, le=65535, description="Port of the URL.")
    http_port: int = Field(80, ge=1, le=65535, description="Port that sends browsers on to HTTPS.")
    certificate: LocalPath | None = Field(
        None,
        description="Certificate chain (PEM) on this side, the server's own first. It is judged"
        " before anything changes: key, dates, name, chain. Default: self-signed, made on the"
        " server.",
        examples=["ml.example.org.pem"],
    )
    certificate_key: LocalPath | None = Field(
        None,
        description="Its private key (PEM).",
        examples=["ml.example.org.key"],
    )

    @field_validator("server_name")
    @classmethod
    def _host(cls, name: str | None) -> str | None:
        if name and (problem := names.problem(name)):
            raise ValueError(problem)
        return name

    @model_validator(mode="after")
    def _both_or_none(self) -> "Proxy":
        if (self.certificate is None) != (self.certificate_key is None):
            raise ValueError("certificate and certificate_key go together")
        return self

    @model_validator(mode="after")
    def _free_ports(self) -> "Proxy":
        if self.http_port == self.https_port:
            raise ValueError(f"http_port and https_port are both {self.http_port}")
        if used := {self.http_port, self.https_port} & LOOPBACK_PORTS:
            raise ValueError(f"port {min(used)} is used between the services on the server itself")
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
    connections: Connections = Connections()
    variables: Variables = Variables()
    proxy: Proxy = Proxy()
    backup: Backup = Backup()


def sections() -> Iterator[tuple[str, type[Section]]]:
    """Name and model of each table of the config file."""
    for name, info in Config.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section):
            yield name, info.annotation
