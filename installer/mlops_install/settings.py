"""Every setting of the config file: its type, default, description and an example."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from mlops_install import addresses, debian, objectstore, sshconfig, timezones
from mlops_install.backupsettings import Backup
from mlops_install.connections import Connections
from mlops_install.proxysettings import Proxy
from mlops_install.section import (
    Judged,
    LocalPath,
    SecretRef,
    Section,
    Url,
    User,
    Wrong,
    each_once,
    written,
)
from mlops_install.variables import Variables
from mlops_install.workflowsettings import Models, Pools, Workflows

VERIFIER = "mlops-verify"
"""Our own user in Airflow, and before the @ of its address."""
Target = Annotated[str, Judged("user@host[:port], or a name", sshconfig.problem)]
Zone = Annotated[str, Judged("a time zone such as Europe/Zurich", timezones.problem)]
Locale = Annotated[str, Judged("a locale in UTF-8 such as de_CH.UTF-8", debian.no_locale)]
Package = Annotated[str, Judged("a package's name", debian.no_package)]
Packages = Annotated[list[Package], AfterValidator(each_once)]
Hosts = Annotated[
    list[Annotated[str, Judged("a host", addresses.direct)]], AfterValidator(each_once)
]
JournalSize = Annotated[str, Judged("a size such as 500M or 1G", debian.no_journal_size)]
Admin = Annotated[
    str,
    written("[a-z_][a-z0-9_-]{0,63}", "up to 64 small letters, digits, _ and -, a letter first"),
]
Mail = Annotated[str, Judged("an e-mail address", addresses.mail)]
Store = Annotated[str, Judged("s3://CONNECTION@BUCKET/FOLDER", objectstore.problem)]


class Server(Section):
    """Which server, and how to log in."""

    host: Target | None = Field(
        None,
        description='user@host[:port], a name from the ssh config, or "local" for this machine.'
        " The argument of a command wins over it.",
        examples=["admin@ml.example.org"],
    )
    ssh_config: LocalPath | None = Field(
        None,
        description="ssh config file, instead of ~/.ssh/config.",
        examples=["~/.ssh/config"],
    )
    connect_timeout: int = Field(15, ge=1, le=600, description="Seconds to wait for an answer.")


class Base(Section):
    """The operating system, and how it reaches the world."""

    timezone: Zone = Field(
        "Etc/UTC",
        description="Time zone of the server and default of Airflow's schedules.",
    )
    locale: Locale = Field(
        "C.UTF-8",
        description="Language of messages and sorting, such as de_CH.UTF-8. Airflow and its"
        " database stay at C.UTF-8.",
    )
    packages: Packages = Field(
        [], description="Further Debian packages to install.", examples=[["git-lfs"]]
    )
    security_updates: bool = Field(
        True,
        description="Install the security updates of Debian or Ubuntu each night, and nothing"
        " else. The server is never restarted by that. With false the server's own settings hold.",
    )
    journal_max: JournalSize = Field(
        "1G", description="How much disk the journal may use: 16M to 16T."
    )
    apt_lock_timeout: int = Field(
        300, ge=0, le=86400, description="Seconds to wait while another program uses apt."
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
    http_proxy_user: User | None = Field(None, description="User at the proxy.", examples=["mlops"])
    http_proxy_password: SecretRef | None = Field(
        None,
        description="Where its password is: an environment variable or a file on this side.",
        examples=[{"env": "PROXY_PASSWORD"}],
    )
    no_proxy: Hosts = Field(
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
    python_index_user: User | None = Field(
        None, description="User at the index.", examples=["mlops"]
    )
    python_index_password: SecretRef | None = Field(
        None,
        description="Where its password is.",
        examples=[{"file": "~/.config/pypi-password"}],
    )

    @model_validator(mode="after")
    def _together(self) -> "Base":
        self.requires("apt_security_mirror", "apt_mirror")
        self.requires("http_proxy_user", "http_proxy")
        self.requires("http_proxy_password", "http_proxy_user")
        self.requires("python_index_user", "python_index")
        self.requires("python_index_password", "python_index_user")
        return self


class Postgres(Section):
    """PostgreSQL, for Airflow's own data."""

    shared_buffers_mb: int | None = Field(
        None,
        ge=16,
        le=1048576,
        description="Memory for the cache, in MiB. Default: an eighth of the memory, 4096 at most.",
        examples=[1024],
    )
    max_connections: int | None = Field(
        None,
        ge=20,
        le=10000,
        description="Default: what the schedulers, API workers and the others can open at most.",
        examples=[200],
    )
    adopt: bool = Field(
        False,
        description="Take over what is there already: a database or role `airflow`, a database"
        " `workflows`, a role `mlops-task`.",
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
    admin_user: Admin = Field(
        "admin", description="First user; the password is made on the server."
    )
    admin_email: Mail = Field("admin@localhost", description="Its e-mail address.")
    max_map_length: int = Field(
        1024,
        ge=1,
        le=100000,
        description="Tasks that one `expand` may become; more fail the task whose result is"
        " expanded, or the run.",
    )
    log_days: int = Field(30, ge=1, le=36500, description="Days to keep the logs of tasks.")
    xcom_threshold: int = Field(
        262144,
        ge=-1,
        le=1073741824,
        description="Results of tasks that are larger than this many bytes go to files below"
        " /srv/mlops/data/xcom instead of the database; -1 for none.",
    )
    xcom_path: Store | None = Field(
        None,
        description="S3-compatible store for those results instead: s3://CONNECTION@BUCKET/FOLDER"
        " with a connection of type aws from [connections].",
        examples=["s3://store@forecasts/xcom"],
    )
    xcom_days: int = Field(
        30,
        ge=1,
        le=36500,
        description="Days to keep those files; a bucket needs a lifecycle rule instead.",
    )

    @model_validator(mode="after")
    def _not_ours(self) -> "Airflow":
        if self.admin_user == VERIFIER:
            raise Wrong(f"{VERIFIER} is the user of our own checks", "admin_user")
        if self.admin_email == f"{VERIFIER}@localhost":
            raise Wrong(f"{self.admin_email} is the address of our own checks", "admin_email")
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

    @model_validator(mode="after")
    def _store(self) -> "Config":
        name = objectstore.connection(self.airflow.xcom_path or "")
        if name and getattr(self.connections.all.get(name), "type", "") != "aws":
            raise Wrong(
                f"it names the connection {name}, and there is none of the type aws;"
                f' add [connections.{name}] with type = "aws"',
                "airflow", "xcom_path",
            )  # fmt: skip
        return self


def sections() -> Iterator[tuple[str, type[Section]]]:
    """Name and model of each table of the config file."""
    for name, info in Config.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section):
            yield name, info.annotation
