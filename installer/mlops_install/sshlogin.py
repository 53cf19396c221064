"""Logging in by fabric: host keys are checked, refusals become one clear message.

The ssh config is what `ssh` says it is. Fabric makes a client that accepts every host key; here
each is judged by the known hosts, also those of the jump hosts on the way.
"""

import logging
import os
import socket
from pathlib import Path
from typing import Any

import paramiko
from fabric import Config, Connection
from paramiko.ssh_exception import (
    AuthenticationException,
    BadHostKeyException,
    ChannelException,
    IncompatiblePeer,
    NoValidConnectionsError,
    SSHException,
)

from mlops_install import knownhosts, reading, sshconfig, sshkeys
from mlops_install.errors import HostError, MlopsError
from mlops_install.knownhosts import AUTHORITY, REVOKED, Line
from mlops_install.sshconfig import Target, Way

CURVE = "curve25519-sha256"
LIBSSH = f"{CURVE}@libssh.org"
LIBRARY: Any = paramiko.Transport


class UnknownHostKey(SSHException):
    """The server's key is in no known_hosts file."""


class OnlyAuthority(SSHException):
    """The files know an authority for the server, and no key; `line` is what is missing."""

    def __init__(self, place: str, name: str, key: paramiko.PKey) -> None:
        super().__init__(place)
        self.line = f"{name} {key.get_name()} {key.get_base64()}"
        self.fingerprint = f"{key.get_name()} {key.fingerprint}"


class RevokedHostKey(SSHException):
    """A known_hosts file says that the server's key is not to be trusted."""


class Transport(paramiko.Transport):
    """The library's, with the name of a key exchange that servers of today may offer alone."""

    _preferred_kex: Any = (CURVE, *LIBRARY._preferred_kex)
    _kex_info: Any = LIBRARY._kex_info | {CURVE: LIBRARY._kex_info[LIBSSH]}


class Judge(paramiko.MissingHostKeyPolicy):
    """Knows the lines that are about a server; paramiko itself knows no host."""

    def __init__(self, way: Way, accept_new: bool) -> None:
        host = way.alias or way.host
        self.name = host if way.alias else knownhosts.name(host, way.port)
        self._accept_new, self._file = accept_new, way.known_hosts[:1]
        self._lines = knownhosts.known(knownhosts.read(way.known_hosts), host,
                                       22 if way.alias else way.port)  # fmt: skip

    def missing_host_key(
        self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey
    ) -> None:
        """Let the key in, or raise."""
        same = [line for line in self._lines if line.key == key.asbytes()]
        for line in same:
            if line.marker == REVOKED:
                raise RevokedHostKey(line.place)
        if any(not line.marker for line in same):
            return
        if others := [line for line in self._lines if not line.marker]:
            raise BadHostKeyException(hostname, key, _key(others[0]) or key)
        if self._accept_new and self._file:
            knownhosts.add(self._file[0], self.name, key.get_name(), key.get_base64())
            return
        for line in self._lines:
            if line.marker == AUTHORITY:
                raise OnlyAuthority(line.place, self.name, key)
        raise UnknownHostKey(f"{key.get_name()} {key.fingerprint}")

    def transport(self, sock: Any, **more: Any) -> Transport:
        """A transport that asks for a key of a kind that is known, where one is."""
        made = Transport(sock, **more)
        kinds = {line.kind for line in self._lines if not line.marker}
        kinds |= {"rsa-sha2-512", "rsa-sha2-256"} if "ssh-rsa" in kinds else set()
        options = made.get_security_options()
        first = [kind for kind in options.key_types if kind in kinds]
        options.key_types = [*first, *(k for k in options.key_types if k not in kinds)]
        return made


def _key(line: Line) -> paramiko.PKey | None:
    try:
        return paramiko.PKey.from_type_string(line.kind, line.key)
    except Exception:  # a kind that the library does not know
        return None


def connect(target: str, ssh_config: Path | None, accept_new: bool, timeout: int) -> Any:
    """An open fabric connection. Raises `HostError`."""
    # What goes wrong is told once, by the exception.
    logging.getLogger("paramiko").addHandler(logging.NullHandler())
    if ssh_config is not None and not reading.is_file(ssh_config):
        raise HostError(
            f"there is no ssh config file {ssh_config}",
            fix="correct --ssh-config, or [server] ssh_config",
        )
    way = _way(sshconfig.target(target), ssh_config)
    connection = _connection(way, ssh_config, accept_new, timeout)
    _open(connection, target)
    return connection


def session(connection: Any) -> Any:
    """A channel for a command; None where the server has as many as it allows at a time."""
    try:
        return connection.client.get_transport().open_session()
    except ChannelException:
        return None


def _open(connection: Any, target: str) -> None:
    """Jump hosts first, so that an error names the one that it is about."""
    if isinstance(connection.gateway, Connection):
        _open(connection.gateway, target)
    try:
        connection.open()
    except MlopsError:
        raise
    except Exception as error:
        raise _explain(error, target, connection) from error


def _way(wanted: Target, config: Path | None) -> Way:
    said = sshconfig.ask(wanted, config)
    if said is None:  # without ssh, the library reads what it understands of the file
        said = _said(wanted, config)
    return sshconfig.way(wanted, said)


def _said(wanted: Target, config: Path | None) -> dict[str, list[str]]:
    file = config or Path("~/.ssh/config").expanduser()
    try:
        there = reading.is_file(file)
        found = paramiko.SSHConfig.from_path(str(file)) if there else paramiko.SSHConfig()
        said = found.lookup(wanted.host)
    except Exception as error:
        raise HostError(
            f"cannot read {file}: {error}", fix="install OpenSSH's client, which reads it as it is"
        ) from error
    known = {"userknownhostsfile": "~/.ssh/known_hosts",
             "globalknownhostsfile": "/etc/ssh/ssh_known_hosts",
             "user": Config(lazy=True).user}  # fmt: skip
    keys = [f"~/.ssh/id_{kind}" for kind in ("rsa", "ecdsa", "ed25519")]
    values = {**known, **said, "identityfile": said.get("identityfile", keys)}
    values |= {"user": wanted.user} if wanted.user else {}
    values |= {"port": str(wanted.port)} if wanted.port else {}
    return {key: value if isinstance(value, list) else [value] for key, value in values.items()}


def _connection(
    way: Way, file: Path | None, accept_new: bool, timeout: int, gateway: Any = None, depth: int = 0
) -> Any:
    """A connection that is not open yet, behind its jump hosts, the first of them first."""
    if depth > sshconfig.HOPS:
        raise HostError(
            f"the jumps to {way.host} go in a circle", fix="correct ProxyJump in the ssh config"
        )
    for hop in way.jumps if gateway is None else ():
        step = _way(hop, file)
        gateway = _connection(step, file, accept_new, timeout, gateway, depth + 1)
    judge = Judge(way, accept_new)
    if way.agent not in ("", "none"):
        os.environ["SSH_AUTH_SOCK"] = way.agent
    connection = Connection(
        way.host,
        user=way.user or None,
        port=way.port,
        # Lazy: nobody's ~/.fabric.yaml is meant for us.
        config=Config(ssh_config=paramiko.SSHConfig(), lazy=True),
        gateway=gateway or way.command or None,
        connect_timeout=timeout,
        connect_kwargs={
            "banner_timeout": timeout, "auth_timeout": timeout,
            "auth_strategy": sshkeys.Keys(way), "transport_factory": judge.transport,
        },
    )  # fmt: skip
    connection.client.set_missing_host_key_policy(judge)
    return connection


def _explain(error: Exception, target: str, connection: Any) -> HostError:
    server = f"{connection.host}:{connection.port}"
    if isinstance(error, UnknownHostKey | RevokedHostKey | OnlyAuthority):
        return _not_known(error, server)
    if isinstance(error, IncompatiblePeer):
        return _incompatible(error, server)
    if isinstance(error, BadHostKeyException):
        return HostError(
            f"the host key of {server} has CHANGED (now {error.key.get_name()} "
            f"{error.key.fingerprint})",
            fix="if the server was really made anew, remove its old key with "
            f"`ssh-keygen -R {_known_name(connection)}`; if not, somebody may be in between",
        )
    if isinstance(error, sshkeys.TooManyKeys):
        return HostError(
            f"{server} refused to let {connection.user} in: {error}",
            fix="name the right key by IdentityFile in the ssh config, with IdentitiesOnly yes",
        )
    if isinstance(error, AuthenticationException):
        return HostError(
            f"{server} refused to let {connection.user} in: {error}",
            fix=f"try `ssh {target}`; set the user, or the key by IdentityFile in the ssh config "
            "or in the agent",
        )
    return _unreachable(error, target, connection, server)


def _not_known(error: UnknownHostKey | RevokedHostKey | OnlyAuthority, server: str) -> HostError:
    if isinstance(error, UnknownHostKey):
        return HostError(
            f"the host key of {server} is not known ({error})",
            fix="compare the fingerprint with the server's, then run again with "
            "--accept-new-host-key",
        )
    if isinstance(error, RevokedHostKey):
        return HostError(
            f"the host key of {server} is revoked by {error}",
            fix="do not go on; ask who wrote the line, and for the server's new key",
        )
    return HostError(
        f"the host key of {server} is not known ({error.fingerprint}): {error} trusts an"
        " authority for it (@cert-authority), and host certificates are not honoured here",
        detail=f"the line of the key itself would be\n{error.line}",
        fix="compare the fingerprint with the server's, then write that line into known_hosts,"
        " or run again with --accept-new-host-key, which does",
    )


def _unreachable(error: Exception, target: str, connection: Any, server: str) -> HostError:
    if isinstance(error, ChannelException) and isinstance(connection.gateway, Connection):
        return HostError(
            f"the jump host {connection.gateway.host} does not lead on to {server}: {error.text}",
            fix="set AllowTcpForwarding yes in its sshd_config and reload sshd; `Connect failed` is"
            " about the way from there: name, port, firewall",
        )
    if "protocol banner" in str(error):
        return HostError(
            f"cannot reach {server}: it closes the connection, or says nothing, where SSH should"
            " begin",
            fix=f"try `ssh {target}`; wait some minutes where it refuses who comes too often"
            " (fail2ban, MaxStartups, PerSourcePenalties); or it is the port of another program",
        )
    return HostError(f"cannot reach {server}: {_reason(error)}", fix=f"try `ssh {target}`")


def _incompatible(error: IncompatiblePeer, server: str) -> HostError:
    kinds = {"kex": ("_preferred_kex", "KexAlgorithms"), "ciphers": ("_preferred_ciphers",
             "Ciphers"), "macs": ("_preferred_macs", "MACs"),
             "host key": ("_preferred_keys", "HostKeyAlgorithms")}  # fmt: skip
    for word, (ours, setting) in kinds.items():
        if word in str(error):
            have = ", ".join(getattr(Transport, ours))
            return HostError(
                f"{server} offers none of the {setting} that this program has: {have}",
                fix=f"add one of them to {setting} in the server's sshd_config, such as"
                f" `{setting} +{getattr(Transport, ours)[0]}`, and reload sshd",
            )
    return HostError(
        f"cannot agree with {server} on how to talk: {error}",
        fix="update OpenSSH on the server, or paramiko on this machine",
    )


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
