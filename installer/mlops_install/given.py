"""Files and secrets of this side that the config names: read, and judged before any login."""

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pydantic import SecretStr

from mlops_install import channels, connections, githosts, reading, release, variables
from mlops_install.errors import ConfigError
from mlops_install.resources.tree import Files
from mlops_install.secretref import optional
from mlops_install.settings import Config

if TYPE_CHECKING:
    from mlops_install.lock.project import Model

PATH = ("workflows", "path")


@dataclass(frozen=True)
class Project:
    """The workflow project that [workflows] path names."""

    files: Files
    models: "tuple[Model, ...]"


@dataclass(frozen=True)
class Given:
    """Files and secrets of this side that the config names; None where it names none."""

    ca_bundle: str | None = None
    certificate: str | None = None
    certificate_key: SecretStr | None = None
    proxy_password: SecretStr | None = None
    index_password: SecretStr | None = None
    channel_password: SecretStr | None = None
    git_password: SecretStr | None = None
    known_hosts: str | None = None
    allowed_signers: str | None = None
    connections: SecretStr | None = None
    backup_passphrase: SecretStr | None = None
    variables: SecretStr | None = None
    project: Project | None = None


def given(config: Config) -> Given:
    """Read them all. Raises `ConfigError` that names the setting."""
    return replace(files(config), project=project(config))


def files(config: Config) -> Given:
    """All but the project, whose files may be many. Raises `ConfigError` that names the setting."""
    base, proxy, workflows = config.base, config.proxy, config.workflows
    bundle = _pem(base.ca_bundle, "base", "ca_bundle")
    chain = _pem(proxy.certificate, "proxy", "certificate")
    key = _pem(proxy.certificate_key, "proxy", "certificate_key")
    _judge(bundle, chain, key, proxy.server_name)
    if workflows.path is not None:
        release.folder_of(reading.at_home(workflows.path, "", PATH))
    return Given(
        ca_bundle=bundle,
        certificate=chain,
        certificate_key=None if key is None else SecretStr(key),
        proxy_password=optional(base.http_proxy_password, "base", "http_proxy_password"),
        index_password=optional(base.python_index_password, "base", "python_index_password"),
        channel_password=optional(config.models.channel_password, "models", "channel_password"),
        git_password=optional(workflows.password, "workflows", "password"),
        known_hosts=githosts.known_hosts(workflows.known_hosts, workflows.repository),
        allowed_signers=githosts.allowed_signers(workflows.allowed_signers),
        connections=connections.document(config.connections),
        backup_passphrase=optional(config.backup.passphrase, "backup", "passphrase"),
        variables=variables.document(config.variables),
    )


def _judge(bundle: str | None, chain: str | None, key: str | None, name: str | None) -> None:
    if not (bundle or chain):
        return
    from mlops_install import certificate  # its library is read only where it is needed

    if bundle:
        certificate.read(bundle, *certificate.BUNDLE)
    if chain and key:
        certificate.check(chain, key, bundle or "")
        if name:
            certificate.check_name(chain, name)


def _pem(path: str | None, *keys: str) -> str | None:
    return None if path is None else reading.pem(path, *keys)


def project(config: Config) -> Project | None:
    """The workflow project. Raises `ConfigError` for what cannot become a release."""
    if config.workflows.path is None:
        return None
    from mlops_install.lock import project as projects  # YAML, which only a project needs

    folder = reading.at_home(config.workflows.path, "", PATH)
    found = release.read(folder, config.workflows.max_release_mb)
    there = {name.split("/")[1] for name in found if re.match(r"models/[^/]+/", name)}
    read = Project(
        found, projects.read(folder, config.models.cuda, there, channels.allowed(config))
    )
    for model in read.models:
        if model.options.gpu and "gpu" not in config.pools.slots:
            raise ConfigError(
                f"models/{model.name}/model.toml says gpu = true, and there is no pool gpu",
                fix="add `gpu = 1` to [pools] in the config, or as many tasks as the GPU can run",
            )
    return read
