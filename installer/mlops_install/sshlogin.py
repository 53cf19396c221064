"""Logging in by fabric: host keys are checked, refusals become one clear message.

Fabric makes a client that accepts every host key and loads no known hosts; both are put right
here, also for the jump hosts on the way.
"""

import contextlib
import logging
import socket
from pathlib import Path
from typing import Any

import paramiko
from fabric import Config, Connection
from paramiko.ssh_exception import (
    AuthenticationException,
    BadHostKeyException,
    NoValidConnectionsError,
    SSHException,
)

from mlops_install.errors import HostError, MlopsError


class UnknownHostKey(SSHException):
    """The server's key is in no known_hosts file."""


class _Refuse(paramiko.MissingHostKeyPolicy):
    def missing_host_key(
        self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey
    ) -> None:
        raise UnknownHostKey(f"{key.get_name()} {key.fingerprint}")


class _AcceptNew(paramiko.MissingHostKeyPolicy):
    def __init__(self, known_hosts: Path) -> None:
        self.known_hosts = known_hosts

    def missing_host_key(
        self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey
    ) -> None:
        self.known_hosts.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.known_hosts.open("a") as file:
            file.write(f"{hostname} {key.get_name()} {key.get_base64()}\n")


def connect(target: str, ssh_config: Path | None, accept_new: bool, timeout: int) -> Any:
    """An open fabric connection. Raises `HostError`."""
    # What goes wrong is told once, by the exception.
    logging.getLogger("paramiko").addHandler(logging.NullHandler())
    connection = _connection(target, ssh_config, timeout)
    _check_host_keys(connection, accept_new)
    try:
        connection.open()
    except MlopsError:
        raise
    except Exception as error:
        raise _explain(error, target, connection) from error
    return connection


def _connection(target: str, ssh_config: Path | None, timeout: int) -> Any:
    if ssh_config is not None and not ssh_config.is_file():
        raise HostError(f"there is no ssh config file {ssh_config}", fix="mend --ssh-config")
    config = Config(runtime_ssh_path=str(ssh_config) if ssh_config else None)
    config.load_ssh_config()
    return Connection(
        target,
        config=config,
        connect_timeout=timeout,
        connect_kwargs={"banner_timeout": timeout, "auth_timeout": timeout},
    )


def _check_host_keys(connection: Any, accept_new: bool) -> None:
    files = _known_hosts(connection)
    for file in files:
        with contextlib.suppress(OSError):
            connection.client.load_system_host_keys(str(file))
    policy = _AcceptNew(files[0]) if accept_new else _Refuse()
    connection.client.set_missing_host_key_policy(policy)
    if isinstance(connection.gateway, Connection):
        _check_host_keys(connection.gateway, accept_new)


def _known_hosts(connection: Any) -> list[Path]:
    user = connection.ssh_config.get("userknownhostsfile", "~/.ssh/known_hosts")
    system = connection.ssh_config.get("globalknownhostsfile", "/etc/ssh/ssh_known_hosts")
    return [Path(word).expanduser() for word in f"{user} {system}".split()]


def _explain(error: Exception, target: str, connection: Any) -> HostError:
    where = f"{connection.host}:{connection.port}"
    if isinstance(error, UnknownHostKey):
        return HostError(
            f"the host key of {where} is not known ({error})",
            fix="compare the fingerprint with the server's, then run again with "
            "--accept-new-host-key",
        )
    if isinstance(error, BadHostKeyException):
        return HostError(
            f"the host key of {where} has CHANGED (now {error.key.get_name()} "
            f"{error.key.fingerprint})",
            fix="if the server was really made anew, remove its old key with "
            f"`ssh-keygen -R {_known_name(connection)}`; if not, somebody may be in between",
        )
    if isinstance(error, AuthenticationException) or "No authentication methods" in str(error):
        return HostError(
            f"{where} refused to let {connection.user} in: {error}",
            fix=f"try `ssh {target}`; set the user, or the key by IdentityFile in the ssh config "
            "or in the agent",
        )
    return HostError(f"cannot reach {where}: {_reason(error)}", fix=f"try `ssh {target}`")


def _known_name(connection: Any) -> str:
    host, port = connection.host, int(connection.port)
    return str(host) if port == 22 else f"'[{host}]:{port}'"


def _reason(error: Exception) -> str:
    if isinstance(error, NoValidConnectionsError):
        return "; ".join(sorted({getattr(e, "strerror", str(e)) for e in error.errors.values()}))
    if isinstance(error, socket.gaierror):
        return f"the name does not resolve ({error.strerror})"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__
