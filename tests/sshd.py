"""A real sshd for tests, as the user who runs them."""

import os
import pwd
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from machine import missing, need


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


class Host:
    """A real sshd, as the user of the tests, on a port of its own."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.folder, self.port = folder, free_port()
        folder.mkdir(mode=0o700)
        self.key("host")
        (folder / "authorized").write_text("")
        (folder / "config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\n"
            f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nUsePAM no\n"
            f"PasswordAuthentication no\nPermitRootLogin yes\nPidFile none\n{more}"
        )

    def key(self, name: str) -> str:
        """Make a key, in place of the one before; its public part."""
        path = self.folder / name
        path.unlink(missing_ok=True)
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path)]
        subprocess.run(words, check=True)
        return path.with_name(f"{name}.pub").read_text()

    @property
    def pin(self) -> str:
        """The line for known_hosts."""
        kind, key, _ = (self.folder / "host.pub").read_text().split()
        return f"[127.0.0.1]:{self.port} {kind} {key}\n"

    def start(self) -> subprocess.Popen[bytes]:
        """Start it, and wait until it answers."""
        process = subprocess.Popen([need("sshd"), "-D", "-e", "-f", str(self.folder / "config")])
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return process
            time.sleep(0.05)
        process.kill()
        pytest.fail("sshd does not start")


@contextmanager
def running(folder: Path, more: str = "") -> Iterator[Host]:
    """One that runs; `more` are further lines of its config."""
    need("sshd")
    if os.geteuid() == 0:
        try:
            pwd.getpwnam("sshd")
        except KeyError:
            missing("an sshd that root starts needs the user sshd")
        Path("/run/sshd").mkdir(exist_ok=True)
    found = Host(folder, more)
    process = found.start()
    try:
        yield found
    finally:
        process.kill()
        process.wait()
