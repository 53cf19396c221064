"""What the ssh config says about a server: ssh itself is asked, so that every word counts."""

import os
import pwd
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from mlops_install import reading
from mlops_install.errors import HostError

LONGEST = 500
HOPS = 8
"""So many jumps lead out of a circle."""


@dataclass(frozen=True)
class Target:
    """A server as a user writes it."""

    host: str
    user: str = ""
    port: int = 0


@dataclass(frozen=True)
class Way:
    """How to get to a server. `alias` is its name in known_hosts; `agent`: its socket or none.

    `identities` are files of keys, of which one half may be elsewhere; `certificates` files about
    them; `only_named`: no key of the agent is offered that is not among them.
    """

    target: Target
    host: str
    user: str
    port: int
    alias: str
    identities: tuple[str, ...]
    known_hosts: tuple[Path, ...]
    jumps: tuple[Target, ...] = ()
    command: str = ""
    agent: str = ""
    certificates: tuple[str, ...] = ()
    only_named: bool = False

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.host}:{self.port}"


def target(text: str) -> Target:
    """Read `user@host[:port]`. Raises `HostError` when it is no such thing."""
    found = re.fullmatch(
        r"(?:ssh://)?(?:(?P<user>.+)@)?"
        r"(?:\[(?P<v6>[^\]]+)\](?::(?P<p6>.*))?|(?P<bare>[^@]*:[^@]*:[^@]*)|(?P<host>[^@:]+)"
        r"(?::(?P<port>.*))?)",
        text,
    )
    said = found.groupdict() if found else {}
    host = said.get("v6") or said.get("bare") or said.get("host") or ""
    port = said.get("p6") if said.get("p6") is not None else said.get("port")
    odd = re.search(r"[\s\x00-\x1f\x7f-\x9f/\\'\"`$;&|<>]", text.removeprefix("ssh://"))
    if not host or host.startswith("-") or odd or len(text) > LONGEST:
        raise HostError(f"{text!r} names no server", fix="say user@host, or user@host:port")
    if port is not None and not (re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 65536):
        raise HostError(
            f"{text!r} has the port {port!r}, which is not a port",
            fix="say user@host:port with a number from 1 to 65535",
        )
    return Target(host, said.get("user") or "", int(port or 0))


def problem(text: str) -> str:
    """Why this names no server; empty when it does."""
    try:
        target(text)
    except HostError as error:
        return f"{error.message}; {error.fix}"
    return ""


def ask(wanted: Target, config: Path | None) -> dict[str, list[str]] | None:
    """Ask ssh: name in small letters -> values. None where there is no ssh on this machine.

    Raises `HostError` when it cannot read its config.
    """
    program = shutil.which("ssh")
    if program is None:
        return None
    words = [program, "-G", *_files(config)]
    words += ["-l", wanted.user] if wanted.user else []
    words += ["-p", str(wanted.port)] if wanted.port else []
    done = subprocess.run(
        [*words, "--", wanted.host], capture_output=True, text=True, errors="replace", check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode:
        raise HostError(
            f"ssh cannot read its config for {wanted.host}", detail=done.stderr.strip(),
            fix=f"correct that line; `ssh -G {wanted.host}` tries it",
        )  # fmt: skip
    return read(done.stdout)


def read(said: str) -> dict[str, list[str]]:
    """What `ssh -G` printed: name -> values."""
    found: dict[str, list[str]] = {}
    for line in said.splitlines():
        key, _, value = line.partition(" ")
        found.setdefault(key, []).append(value)
    return found


def way(wanted: Target, said: dict[str, list[str]]) -> Way:
    """What ssh said, as we need it."""

    def one(key: str, default: str = "") -> str:
        value = said.get(key, [default])[0]
        return "" if value.lower() == "none" else value

    host, user, port = one("hostname", wanted.host), one("user"), _port(wanted, one("port", "22"))
    files = f"{one('userknownhostsfile')} {one('globalknownhostsfile')}".split()
    jumps = one("proxyjump")
    return Way(
        wanted, host, user, port, one("hostkeyalias"),
        tuple(path for path in map(_home, said.get("identityfile", []))
              if _readable(path) or _readable(f"{path}.pub")),
        tuple(Path(_home(file)) for file in files),
        tuple(target(hop) for hop in jumps.split(",")) if jumps else (),
        _expanded(one("proxycommand"), wanted.host, host, user, port),
        "none" if said.get("identityagent", [""])[0] == "none" else _agent(one("identityagent")),
        tuple(filter(_readable, map(_home, said.get("certificatefile", [])))),
        one("identitiesonly") == "yes",
    )  # fmt: skip


def _port(wanted: Target, text: str) -> int:
    if not (re.fullmatch("[0-9]{1,5}", text) and 0 < int(text) < 65536):
        raise HostError(f"the ssh config gives {wanted.host} the port {text!r}: it is not one",
                        fix="correct its line Port")  # fmt: skip
    return int(text)


def _files(config: Path | None) -> list[str]:
    """ssh looks for its config in the account's home, and we where HOME says."""
    if config is None and Path.home() == _account():
        return []
    file = config or Path.home() / ".ssh/config"
    return ["-F", str(file) if reading.is_file(file) else "/dev/null"]


def _account() -> Path:
    return Path(pwd.getpwuid(os.getuid()).pw_dir)


def _home(path: str) -> str:
    home, account = str(Path.home()), str(_account())
    path = path.strip('"').replace("%d", home)
    if home != account and path.startswith(f"{account}/.ssh/known_hosts"):
        return home + path.removeprefix(account)
    try:
        return str(Path(path).expanduser())
    except RuntimeError:  # of a user who is not here
        return path


def _readable(path: str) -> bool:
    return reading.is_file(path) and os.access(path, os.R_OK)


def _agent(socket: str) -> str:
    if socket in ("", "SSH_AUTH_SOCK"):
        return ""
    return _home(os.environ.get(socket[1:], "") if socket.startswith("$") else socket)


def _expanded(command: str, name: str, host: str, user: str, port: int) -> str:
    words = {"%h": host, "%n": name, "%r": user, "%p": str(port), "%%": "%"}
    return re.sub(r"%[hnrp%]", lambda found: words[found[0]], command)
