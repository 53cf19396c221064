"""What all of a box needs of this machine: commands, locks, and packages."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlops_install.box import proc
from mlops_install.errors import BoxError

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
PACKAGES = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "nft": "nftables",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "ip": "iproute2",
    KEYRING: "debian-archive-keyring",
}
# Not every file system can be below an overlay; another overlay, as containers have, cannot.
OVERLAY = """
mkdir -p -m 0700 /var/lib/mlops-box
cd "$(mktemp -d -p /var/lib/mlops-box .try-XXXXXX)" || exit 1
trap 'umount root; rm -rf "$PWD"' EXIT
mkdir lower upper work root
mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work try root
"""


def run(*words: str, stdin: str = "", answers: tuple[int, ...] = (0,)) -> str:
    """The standard output of a command; BoxError with its last lines unless it exits in `answers`.

    Whatever terminal the caller has stays out of it: stdin is the given text.
    """
    done = subprocess.run(list(words), input=stdin, capture_output=True, text=True, check=False)
    if done.returncode not in answers:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-10:])
        raise BoxError(f"`{' '.join(words)}` exited with {done.returncode}", detail=tail)
    return done.stdout


@contextmanager
def locked(path: Path, *, remove: bool = False) -> Iterator[None]:
    """Hold the lock file `path` against every other thread and process.

    With `remove` the file is gone afterwards; who waited for it then takes a new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fd = _acquire(path)
    try:
        yield
    finally:
        if remove:
            path.unlink(missing_ok=True)
        os.close(fd)


def _acquire(path: Path) -> int:
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        try:
            if os.fstat(fd).st_ino == path.stat().st_ino:
                return fd
        except FileNotFoundError:
            pass
        os.close(fd)


def missing_packages() -> list[str]:
    """The packages that this machine lacks for boxes, sorted."""
    return sorted({package for tool, package in PACKAGES.items() if not shutil.which(tool)
                   and not (tool == KEYRING and Path(KEYRING).exists())})  # fmt: skip


def install_packages(packages: list[str]) -> None:
    """Install `packages` by apt-get without a question."""
    install = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes", "--quiet",
               "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300", *packages]  # fmt: skip
    try:
        run(*install)
    except BoxError:
        run("apt-get", "update", "--quiet")
        run(*install)


def unavailable() -> str | None:
    """Why this machine cannot run boxes, or None when it can."""
    if sys.platform != "linux":
        return "boxes need Linux"
    if os.geteuid() != 0:
        return "boxes need root"
    missing = missing_packages()
    if missing and not shutil.which("apt-get"):
        return f"it lacks {', '.join(missing)} and has no apt-get to install them"
    if not proc.hierarchies():
        return "no control groups are mounted"
    if not _works("true"):
        return "it may not make namespaces (is it a container without the rights?)"
    return None if _works(OVERLAY) else "overlay file systems do not work in /var/lib/mlops-box"


def _works(script: str) -> bool:
    words = ["unshare", "--mount", "--net", "--pid", "--fork", "sh", "-c", script]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0
