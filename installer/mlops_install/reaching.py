"""Reaching a server: config, login and facts, begun while the rest of the program loads."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mlops_install import config as configs
from mlops_install import facts, given, reading
from mlops_install.errors import ConfigError
from mlops_install.facts import Facts
from mlops_install.given import Given
from mlops_install.host import Host, Local, Ssh, ask_password
from mlops_install.questions import questions
from mlops_install.session import Result
from mlops_install.settings import Config

SWITCH = 0.0005
"""Seconds after which a thread that computes lets the login go on; Python's 0.005 add up."""


@dataclass(frozen=True)
class Options:
    """What the command line said, for every command that talks to a server."""

    target: str | None = None
    config: Path | None = None
    ssh_config: Path | None = None
    accept_new: bool = False
    as_json: bool = False
    begun: "Login | None" = field(default=None, compare=False, repr=False)
    """A login that was begun before it was needed; who comes first takes it."""

    def login(self, *, files: bool) -> "Login":
        """The login that was begun, or a new one, as in `Login`. Raises `ConfigError`."""
        if self.begun is not None and not self.begun.taken:
            self.begun.taken = True
            return self.begun
        return Login(self, files=files)


class Login:
    """A server that is logged in to, and asked for its facts, in the background.

    With `files`, the files and secrets that the config names are in `given`, without the project.
    Raises `ConfigError` before it begins. A daemon thread: an error on this side ends the program
    at once.
    """

    taken = False

    def __init__(self, options: Options, *, files: bool) -> None:
        self.config = configs.load(options.config)
        with configs.located(options.config):
            self.server = _host(options, self.config)
            self.given = given.files(self.config) if files else Given()
        self._questions = questions(self.config)
        self._said: Result | None = None
        self._problem: BaseException | None = None
        sys.setswitchinterval(SWITCH)
        self._thread = threading.Thread(target=self._begin, daemon=True)
        self._thread.start()

    def _begin(self) -> None:
        try:
            self.server.connect()
            self._said = self.server.run(facts.script(self._questions))
        except BaseException as problem:
            self._problem = problem

    def facts(self) -> Facts:
        """Wait for the server, and say what it is. Raises `HostError`."""
        self._thread.join()
        if self._problem is not None:
            raise self._problem
        # A password of sudo is asked for here, where Ctrl-C leaves the terminal as it was.
        return facts.gather(self.server, ask_password, self._questions, self._said)


def _host(options: Options, config: Config) -> Host:
    target = options.target or config.server.host
    if target is None:
        raise ConfigError(
            "no server is named",
            fix="say `mlops-install apply user@host`, or set [server] host in mlops.toml"
            " (`mlops-install init` writes one); `mlops-install --help` for more",
        )
    if target == "local":
        return Local()
    return Ssh(
        target,
        ssh_config=options.ssh_config or _ssh_config(config),
        accept_new=options.accept_new,
        timeout=config.server.connect_timeout,
    )


def _ssh_config(config: Config) -> Path | None:
    if config.server.ssh_config is None:
        return None
    keys = ("server", "ssh_config")
    reading.text(config.server.ssh_config, keys=keys)
    return reading.at_home(config.server.ssh_config, "", keys)


@contextmanager
def beside(work: Callable[[], object]) -> Iterator[None]:
    """Do some work of this side while the block waits for the server."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join()
