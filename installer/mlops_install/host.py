"""The one file that talks to a server: over SSH by fabric, or on this machine.

A script goes to the server as the first bytes of stdin, so that nothing of it shows on a
command line; what follows on stdin is for the script. Every `open` is one round trip.
"""

import contextlib
import getpass
import os
import re
import secrets
import socket
import subprocess
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from mlops_install.errors import ConnectionLost, HostError, MlopsError
from mlops_install.lastresort import SECRETS
from mlops_install.session import AGAIN, Result, Session
from mlops_install.shell import sh

# What the server's /etc/environment or a user's profile sets is not meant for us: PGHOST would lead
# our SQL to another server, TMPDIR or PYTHONHOME to nowhere. The way out through a proxy is. apt's
# hook of needrestart restarts nothing of ours, and asks nobody.
HEADER = (
    "for v in $(compgen -e); do case $v in *_proxy|*_PROXY) ;; *) unset -v $v;; esac; done"
    " 2>/dev/null\n"
    "export LC_ALL=C.UTF-8 LANGUAGE= DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1"
    " USER=root LOGNAME=root HOME=/root"
    " PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
    "umask 022; cd /\n"
)
# What a user's .bashrc prints comes before.
MARK = "printf '\\n%s\\n' {mark}; printf '\\n%s\\n' {mark} >&2\n"
# Read by the login shell, which may be fish, csh or another: no quote within, nothing to expand.
LOADER = "sh -c 'IFS=; set -f; eval $(head -c {size})'"
KEEPALIVE = 15
SILENCE_MS = 60_000


class Host(ABC):
    """A server, on which scripts run as root."""

    address: str
    """What the user calls it."""
    reached: str
    """The name or address by which it is reached."""
    round_trips: int = 0

    @abstractmethod
    def _start(self, command: str) -> Session: ...

    def open(self, script: str) -> Session:
        """Start a bash script as root; its stdin stays open for `Session.send`."""
        self.round_trips += 1
        mark = secrets.token_hex(8)
        text = MARK.format(mark=mark) + HEADER + script
        first = self._root(f'eval "$(head -c {len(text.encode())})"')
        session = self._start(LOADER.format(size=len(first.encode())))
        session.begins_with(mark)
        try:
            session.send(first + self._secret_line() + text)
        except ConnectionLost:
            # Where sudo refuses it ends before it has read all; its result tells why.
            if not session.reachable():
                raise
        return session

    def run(self, script: str) -> Result:
        """Run a bash script as root to its end."""
        with contextlib.closing(self.open(script)) as session:
            return session.finish()

    # Root needs nothing, others sudo; a password once it is known that sudo wants one. What it
    # says is read here, so it must not say it in the server's language.
    _sudo = 'export LC_ALL=C; test "$(id -u)" = 0 || s="sudo -n"; exec ${s-} '
    _password: str | None = None

    def _root(self, text: str) -> str:
        return f"unset IFS; set +f; {self._sudo}{sh('bash', '-c', text)}"

    def _secret_line(self) -> str:
        return "" if self._password is None else f"{self._password}\n"

    def first(
        self, script: str, ask_password: Callable[[str], str], said: Result | None = None
    ) -> Result:
        """Run the first script; where sudo wants a password, ask for it once and keep it.

        `said` is what it answered without one. Raises `HostError` when sudo refuses.
        """
        result = said or self.run(script)
        if _wants_password(result):
            self._password = ask_password(f"sudo password for {self.address}: ")
            SECRETS.add(self._password)
            self._sudo = "export LC_ALL=C; exec sudo -k -S -p '' "
            result = self.run(script)
        if result.code != 0 and "sudo" in result.stderr:
            raise HostError(
                f"sudo refused on {self.address}",
                detail=result.stderr.strip(),
                fix="log in as root, or as a user whom /etc/sudoers lets run every command",
            )
        return result

    def connect(self) -> None:  # noqa: B027 - nothing to connect to on this machine
        """Connect and log in. Raises `HostError` with the reason and the fix."""

    def close(self) -> None:  # noqa: B027 - nothing to close on this machine
        """Give up the connection."""


# --- this machine -------------------------------------------------------------------------


class LocalSession(Session):
    """A script that runs on this machine."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        stdin, stdout, stderr = process.stdin, process.stdout, process.stderr
        if stdin is None or stdout is None or stderr is None:
            raise ValueError("the process needs three pipes")
        super().__init__(stdin, stdout, stderr)
        self._process = process

    def reachable(self) -> bool:
        return True

    def _close_stdin(self) -> None:
        with contextlib.suppress(OSError):
            self._stdin.close()

    def _wait(self) -> int:
        return self._process.wait()

    def close(self) -> None:
        self._close_stdin()


class Local(Host):
    """This machine."""

    address = "local"

    def __init__(self) -> None:
        self.reached = socket.getfqdn()

    def _start(self, command: str) -> Session:
        return LocalSession(self._popen(command))

    def _popen(self, command: str) -> "subprocess.Popen[bytes]":
        pipe = subprocess.PIPE
        return subprocess.Popen(["bash", "-c", command], stdin=pipe, stdout=pipe, stderr=pipe)


# --- SSH ----------------------------------------------------------------------------------


class SshSession(Session):
    """A script that runs behind one channel of the connection."""

    def __init__(self, channel: Any, address: str) -> None:
        super().__init__(
            channel.makefile_stdin("wb"), channel.makefile("rb"), channel.makefile_stderr("rb")
        )
        self._channel, self._address = channel, address

    def lines(self) -> Iterator[str]:
        yield from super().lines()
        if not self._channel.exit_status_ready() and not self.reachable():
            raise ConnectionLost(f"the connection to {self._address} broke", fix=AGAIN)

    def reachable(self) -> bool:
        return bool(self._channel.get_transport().is_active())

    def _close_stdin(self) -> None:
        with contextlib.suppress(OSError):
            self._stdin.flush()
            self._channel.shutdown_write()

    def _wait(self) -> int:
        code = int(self._channel.recv_exit_status())
        if code == -1:
            raise ConnectionLost(f"the connection to {self._address} broke", fix=AGAIN)
        return code

    def close(self) -> None:
        self._channel.close()


class Ssh(Host):
    """A server behind SSH.

    `target` is `user@host[:port]` or a name that the ssh config file knows. Host keys must be
    known, or `accept_new` lets an unknown (never a changed) one in and writes it down.
    """

    def __init__(
        self,
        target: str,
        *,
        ssh_config: Path | None = None,
        accept_new: bool = False,
        timeout: int = 15,
    ) -> None:
        from mlops_install import sshlogin  # what is on this machine needs no fabric

        self.address = target
        self._log_in = partial(sshlogin.connect, target, ssh_config, accept_new, timeout)
        self._session = sshlogin.session
        self._connections: list[Any] = []
        self._one_more = threading.Lock()

    def connect(self) -> None:
        connection = self._log_in()
        self._connections.append(connection)
        self.reached = connection.host
        transport = connection.client.get_transport()
        transport.set_keepalive(KEEPALIVE)
        # A server that was unplugged never answers: give up after a minute, not after TCP's 15.
        if isinstance(transport.sock, socket.socket) and hasattr(socket, "TCP_USER_TIMEOUT"):
            transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_MS)

    def _start(self, command: str) -> Session:
        try:
            channel = self._channel()
            channel.exec_command(command)
        except MlopsError:
            raise
        except Exception as error:
            raise ConnectionLost(
                f"the connection to {self.address} broke: {error}", fix=AGAIN
            ) from error
        return SshSession(channel, self.address)

    def _channel(self) -> Any:
        """A session; a server whose `MaxSessions` has no room for it is logged in to once more."""
        with self._one_more:
            for connection in self._connections:
                if channel := self._session(connection):
                    return channel
            self.connect()
            return self._session(self._connections[-1]) or self._refused()

    def _refused(self) -> NoReturn:
        raise HostError(
            f"{self.address} lets {self._connections[-1].user} in and opens no session",
            fix="set MaxSessions in the server's sshd_config to 1 or more, and reload sshd",
        )

    def close(self) -> None:
        for connection in self._connections:
            connection.close()


def ask_password(prompt: str) -> str:
    """Ask on the terminal; without one, say what to do instead."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
        return getpass.getpass(prompt)
    except (EOFError, OSError) as error:
        raise HostError(
            "sudo wants a password and there is no terminal to ask on",
            fix="run it in a terminal, or let the user sudo without a password",
        ) from error


def _wants_password(result: Result) -> bool:
    said = re.search("sudo: (a password|interactive authentication) is required", result.stderr)
    return result.code != 0 and bool(said)
