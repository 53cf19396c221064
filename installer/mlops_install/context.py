"""All that a role may know: config, facts, sizes, and what was read on this side."""

from dataclasses import dataclass

from mlops_install import names
from mlops_install.facts import Facts
from mlops_install.given import Given, Project, given
from mlops_install.settings import Config
from mlops_install.sizing import Sizing, size

__all__ = ["Context", "Given", "Project", "given", "make"]


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
