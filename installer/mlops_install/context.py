"""All that a role may know: config, facts, sizes, and what was read on this side."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from mlops_install import channels, connections, names, release, variables
from mlops_install.errors import ConfigError
from mlops_install.facts import Facts
from mlops_install.resources.tree import Files
from mlops_install.secretref import secret
from mlops_install.section import SecretRef
from mlops_install.settings import Config
from mlops_install.sizing import Sizing, size

if TYPE_CHECKING:
    from mlops_install.lock.project import Model


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
    """Read them. Raises `ConfigError` that names the setting."""
    base, proxy = config.base, config.proxy
    _store(config)
    bundle = _pem("[base] ca_bundle", base.ca_bundle)
    chain = _pem("[proxy] certificate", proxy.certificate)
    key = _pem("[proxy] certificate_key", proxy.certificate_key)
    _judge(bundle, chain, key, proxy.server_name)
    return Given(
        ca_bundle=bundle,
        certificate=chain,
        certificate_key=None if key is None else SecretStr(key),
        proxy_password=optional("[base] http_proxy_password", base.http_proxy_password),
        index_password=optional("[base] python_index_password", base.python_index_password),
        channel_password=optional("[models] channel_password", config.models.channel_password),
        git_password=optional("[workflows] password", config.workflows.password),
        known_hosts=_text("[workflows] known_hosts", config.workflows.known_hosts),
        allowed_signers=_text("[workflows] allowed_signers", config.workflows.allowed_signers),
        connections=connections.document(config.connections),
        backup_passphrase=optional("[backup] passphrase", config.backup.passphrase),
        variables=variables.document(config.variables),
        project=_project(config),
    )


def _judge(bundle: str | None, chain: str | None, key: str | None, name: str | None) -> None:
    if not (bundle or chain):
        return
    from mlops_install import certificate  # its library is read only where it is needed

    if bundle:
        certificate.read(bundle, "[base] ca_bundle")
    if chain and key:
        certificate.check(chain, key, bundle or "")
        if name:
            certificate.check_name(chain, name)


def _store(config: Config) -> None:
    name = (config.airflow.xcom_path or "").removeprefix("s3://").partition("@")[0]
    if name and getattr(config.connections.all.get(name), "type", "") != "aws":
        raise ConfigError(
            f"[airflow] xcom_path names the connection {name}, and there is none of the type aws",
            fix=f'add [connections.{name}] with type = "aws"',
        )


def _project(config: Config) -> Project | None:
    if config.workflows.path is None:
        return None
    from mlops_install.lock import project as projects  # YAML, which only a project needs

    folder = Path(config.workflows.path).expanduser()
    files = release.read(folder, config.workflows.max_release_mb)
    there = {name.split("/")[1] for name in files if re.match(r"models/[^/]+/", name)}
    allowed = channels.allowed(config)
    project = Project(files, projects.read(folder, config.models.cuda, there, allowed))
    for model in project.models:
        if model.options.gpu and "gpu" not in config.pools.slots:
            raise ConfigError(
                f"models/{model.name}/model.toml says gpu = true, and there is no pool gpu",
                fix="add `gpu = 1` to [pools] in the config, or as many tasks as the GPU can run",
            )
    return project


def optional(setting: str, reference: SecretRef | None) -> SecretStr | None:
    """The secret of a setting that may not be there. Raises `ConfigError` that names it."""
    return None if reference is None else secret(reference, setting)


def _text(setting: str, path: str | None) -> str | None:
    if path is None:
        return None
    try:
        return Path(path).expanduser().read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{setting}: cannot read {path}: {error}", fix=f"correct the path in {setting}"
        ) from error


def _pem(setting: str, path: str | None) -> str | None:
    text = _text(setting, path)
    if text is not None and "-----BEGIN " not in text:
        raise ConfigError(
            f"{setting}: {path} is not a PEM file", fix=f"set {setting} to a file in PEM form"
        )
    return text


@dataclass(frozen=True)
class Context:
    """What every role is a function of."""

    config: Config
    facts: Facts
    given: Given
    sizing: Sizing
    reached: str
    """The name or address by which we reached the server."""

    @property
    def server_name(self) -> str:
        """Name or address in the URL."""
        return self.config.proxy.server_name or self.first_name

    @property
    def first_name(self) -> str:
        """The one by which the server was reached the first time."""
        return self.facts.server_name or self.reached

    @property
    def base_url(self) -> str:
        """Where people find Airflow."""
        return self._url("https", self.config.proxy.https_port, 443)

    @property
    def http_url(self) -> str:
        """Where they are sent on from."""
        return self._url("http", self.config.proxy.http_port, 80)

    def _url(self, scheme: str, port: int, default: int) -> str:
        name = f"[{self.server_name}]" if ":" in self.server_name else self.server_name
        return f"{scheme}://{name}" + (f":{port}" if port != default else "")


def make(config: Config, facts: Facts, read: Given, reached: str) -> Context:
    """Put together what is known. Raises `ConfigError` for a lock of other platforms only."""
    for model in read.project.models if read.project else ():
        model.require({"aarch64": "linux-aarch64"}.get(facts.machine, "linux-64"))
    made = Context(config, facts, read, size(config, facts), reached)
    _check_name(made)
    return made


def _check_name(context: Context) -> None:
    """The name that the config does not set: it is known when the server is reached."""
    names.require(context.server_name)
    if context.given.certificate and not context.config.proxy.server_name:
        from mlops_install import certificate

        certificate.check_name(context.given.certificate, context.server_name)
