"""Programs that tests need of this machine: installed where we may, else the test is left out.

Under CI=true a test is never left out for want of a program: it fails.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlops_install.box import tools
from mlops_install.errors import BoxError

PACKAGES = {  # program -> Debian package
    "dash": "dash",
    "fish": "fish",
    "git": "git",
    "git-lfs": "git-lfs",
    "initdb": "postgresql",
    "nginx": "nginx-light",
    "openssl": "openssl",
    "sshd": "openssh-server",
    "systemd-analyze": "systemd",
    "tcsh": "tcsh",
    "zsh": "zsh",
}
SERVICES = ("nginx.service", "postgresql.service", "ssh.service", "ssh.socket")
POLICY = Path("/usr/sbin/policy-rc.d")
LOCK = Path(tempfile.gettempdir()) / f"mlops-tests-{os.getuid()}" / "apt.lock"


def need(program: str) -> str:
    """The path of `program`. Skips the test, or fails it under CI=true, where it cannot be had."""
    found = _path(program)
    if not found and os.geteuid() == 0 and shutil.which("apt-get"):
        with tools.locked(LOCK):
            found = _path(program) or _installed(program)
    if not found:
        missing(f"there is no {program} here (Debian: apt install {PACKAGES[program]})")
    return str(found)


def missing(reason: str) -> None:
    """Leave the test out for this reason; under CI=true it fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must run this test: {reason}")
    pytest.skip(reason)


def _path(program: str) -> str | None:
    clusters = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")))  # not on Debian's PATH
    places = ["/usr/sbin", "/usr/local/sbin", *clusters, os.environ["PATH"]]
    return shutil.which(program, path=os.pathsep.join(places))


def _installed(program: str) -> str | None:
    try:
        with _nothing_starts():
            tools.install_packages([PACKAGES[program]])
    except BoxError as error:
        missing(f"{PACKAGES[program]} cannot be installed: {error}\n{error.detail}")
    return _path(program)


@contextmanager
def _nothing_starts() -> Iterator[None]:
    """What is installed meanwhile starts no service, neither now nor when this machine boots."""
    before = {unit for unit in SERVICES if _enabled(unit)}
    own = not POLICY.exists()
    if own:
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
    try:
        yield
    finally:
        if own:
            POLICY.unlink()
        for unit in set(SERVICES) - before:
            if _enabled(unit):
                subprocess.run(["systemctl", "-q", "disable", unit], check=True)


def _enabled(unit: str) -> bool:
    words = ["systemctl", "is-enabled", "--quiet", unit]
    return bool(shutil.which("systemctl")) and not subprocess.run(words, check=False).returncode
