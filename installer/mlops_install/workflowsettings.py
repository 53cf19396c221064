"""Settings of what the server is for: models, workflows, pools."""

import re
from typing import Annotated, Any, ClassVar, Literal

from mlops_server.layout import CUDA
from mlops_server.workflows.config import no_ref, refused
from pydantic import AfterValidator, ConfigDict, Field, model_validator

from mlops_install import addresses
from mlops_install.section import (
    AddressOrPath,
    Judged,
    LocalPath,
    SecretRef,
    Section,
    Url,
    User,
    Wrong,
    each_once,
    without_login,
    written,
)

Cuda = Annotated[str, written(CUDA.pattern, 'a version such as "12.8"')]
Platform = Literal["linux-64", "linux-aarch64"]
Platforms = Annotated[list[Platform], Field(min_length=1), AfterValidator(each_once)]
CHANNEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}(?:/[A-Za-z0-9._-]{1,100}){0,3}", re.ASCII)


def _channel(name: str) -> str:
    if "://" in name:
        return addresses.problem(name)
    return "" if CHANNEL.fullmatch(name) else "it is not a channel; one is such as conda-forge"


def _repository(url: str) -> str:
    without_login(url)
    return refused(url, ("ssh", "https"))


Channel = Annotated[str, Judged("a channel", _channel)]
Repository = Annotated[str, Judged("an address by ssh or https, without a login", _repository)]
Ref = Annotated[str, Judged("a branch, or refs/tags/NAME", no_ref)]
Slots = Annotated[int, Field(ge=-1, le=10000)]


class Models(Section):
    """The conda environments of the models, from models/<name>/conda-lock.yml of the workflows."""

    platforms: Platforms = Field(
        ["linux-64"],
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
    channels: list[Channel] = Field(
        ["conda-forge"],
        min_length=1,
        description="Conda channels that environments may come from, by name or address; those of"
        " channel_mirrors count as well. A lock with a package from elsewhere is refused. Wheels of"
        " pip sections come from [base] python_index.",
        examples=[["conda-forge", "https://conda.example.org/team"]],
    )
    channel_mirrors: dict[Channel, Url] = Field(
        {},
        description="Mirrors of conda channels, by the channel's name or address, for locking and"
        " for the server.",
        examples=[{"conda-forge": "https://mirror.example.org/conda-forge"}],
    )
    channel_user: User | None = Field(
        None, description="User at the hosts of channel_mirrors.", examples=["mlops"]
    )
    channel_password: SecretRef | None = Field(
        None, description="Where the password is.", examples=[{"env": "CHANNEL_PASSWORD"}]
    )
    pypi_names: AddressOrPath | None = Field(
        None,
        description="File or address of a map from PyPI's names to conda's, instead of the shipped"
        " one; it matters for pip sections only.",
        examples=["pypi-names.json"],
    )

    @model_validator(mode="after")
    def _together(self) -> "Models":
        self.requires("channel_password", "channel_user")
        if self.channel_user and not self.channel_mirrors:
            raise Wrong("it does nothing without channel_mirrors", "channel_user")
        return self


class Workflows(Section):
    """The workflows: DAGs and models, from a Git repository or from a folder on this side."""

    repository: Repository | None = Field(
        None,
        description="Git repository that the server pulls. Over SSH it logs in with a key that is"
        " made on the server; `mlops-install workflows key` shows the public part.",
        examples=["git@git.example.org:team/forecasts.git"],
    )
    ref: Ref = Field(
        "main",
        description="Branch to follow, or refs/tags/NAME.",
    )
    pull_every: int = Field(300, ge=30, le=86400, description="Seconds between two pulls.")
    known_hosts: LocalPath | None = Field(
        None,
        description="File on this side with the SSH host keys of the Git server, as in known_hosts."
        " Needed for SSH.",
        examples=["git-host-keys"],
    )
    user: User | None = Field(
        None, description="User for a repository over HTTPS.", examples=["deploy"]
    )
    password: SecretRef | None = Field(
        None, description="Where the password or token is.", examples=[{"env": "GIT_TOKEN"}]
    )
    allowed_signers: LocalPath | None = Field(
        None,
        description="File on this side with the SSH keys that may sign commits, as ssh-keygen(1)"
        " tells. When set, a commit that none of them signed is rejected.",
        examples=["allowed-signers"],
    )
    submodules: bool = Field(True, description="Fetch submodules at their pinned commits.")
    lfs: bool = Field(False, description="Fetch files of Git LFS.")
    max_file_mb: int = Field(
        50, ge=1, le=1048576, description="Commits with a larger file are rejected."
    )
    max_release_mb: int = Field(100, ge=1, le=1048576, description="Larger commits are rejected.")
    test_timeout: int = Field(
        600, ge=10, le=86400, description="Seconds for the project's own tests before activation."
    )
    path: LocalPath | None = Field(
        None,
        description="Instead of a repository: folder on this side with dags/ and models/, put onto"
        " the server as it is at the moment.",
        examples=["../forecasts"],
    )
    keep: int = Field(5, ge=1, le=100, description="Releases to keep, with their environments.")

    @model_validator(mode="after")
    def _one_source(self) -> "Workflows":
        if self.repository and self.path:
            raise Wrong("set repository or path, not both", "path")
        ssh = self.repository and not self.repository.startswith("https://")
        if ssh and not self.known_hosts:
            raise Wrong(
                "a repository over SSH needs known_hosts, the file with the key of its host",
                "repository",
            )
        self.requires("password", "user")
        return self


POOL = re.compile(r"[A-Za-z0-9_.-]{1,250}", re.ASCII)


class Pools(Section):
    """Airflow's pools: the name of each and its number of slots; -1 is without limit. The tasks
    of a model with `gpu = true` in its model.toml run in the pool gpu.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Slots]
    EXAMPLE: ClassVar[tuple[str, Any]] = ("gpu", 1)

    @model_validator(mode="after")
    def _names(self) -> "Pools":
        for name in self.slots:
            if not POOL.fullmatch(name):
                raise Wrong("a pool's name is up to 250 letters, digits, _, . and -", name)
        return self

    @property
    def slots(self) -> dict[str, int]:
        """Pool -> number of slots."""
        return dict(self.__pydantic_extra__)
