"""libvirt for a test: the daemon that runs here, or one of ours with KVM out of sight."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mlops_install.box.tools import install_packages, run
from mlops_install.errors import BoxError

CONNECTION = "qemu:///system"
PACKAGES = (
    "vagrant", "vagrant-libvirt", "libvirt-daemon-system", "libvirt-clients", "dnsmasq-base",
    "qemu-system-x86", "qemu-utils", "extlinux", "e2fsprogs",
)  # fmt: skip
# Where /dev/kvm is there and does not work, libvirt tries it for a minute at every definition.
# A bind mount hides it; without a mount namespace of its own the emulator sees the same.
HIDDEN = """
mount --bind "$1/no-kvm" /dev/kvm && mount --bind "$1/qemu.conf" /etc/libvirt/qemu.conf &&
exec libvirtd
"""


def install() -> None:
    """Debian's packages, where this machine lacks them."""
    missing = [name for name in PACKAGES if not Path("/usr/share/doc", name).exists()]
    if missing:
        install_packages(missing)


def answers() -> bool:
    """Whether a libvirt daemon runs."""
    words = ["virsh", "-c", CONNECTION, "version"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


@contextmanager
def daemon(folder: Path, *, kvm: bool) -> Iterator[None]:
    """Have a libvirt daemon; one that runs already is used as it is, and left alone."""
    if answers():
        yield
        return
    with ExitStack() as stack:
        stack.enter_context(_running(folder / "virtlogd.log", ["virtlogd"]))
        stack.enter_context(_running(folder / "libvirtd.log", _libvirtd(folder, kvm=kvm)))
        deadline = time.monotonic() + 60
        while not answers():
            if time.monotonic() > deadline:
                raise BoxError("libvirtd does not answer", fix=f"Read {folder}/libvirtd.log.")
            time.sleep(0.5)
        try:
            yield
        finally:
            _end_networks()


def _end_networks() -> None:
    """Networks have a DHCP server each, which would outlive the daemon."""
    listed = run("virsh", "-c", CONNECTION, "net-list", "--name")
    for name in listed.split():
        run("virsh", "-c", CONNECTION, "net-destroy", name)


def forget(box: str) -> None:
    """Remove libvirt's copies of the box, which it would take instead of a box built anew."""
    stem = box.replace("/", "-VAGRANTSLASH-") + "_vagrant_box_image_"
    listed = run("virsh", "-c", CONNECTION, "vol-list", "default", answers=(0, 1))
    for words in map(str.split, listed.splitlines()):
        if words and words[0].startswith(stem):
            run("virsh", "-c", CONNECTION, "vol-delete", "--pool", "default", words[0])


def _libvirtd(folder: Path, *, kvm: bool) -> list[str]:
    if kvm or not Path("/dev/kvm").exists():
        return ["libvirtd"]
    (folder / "no-kvm").touch(mode=0o000)
    shutil.copy("/etc/libvirt/qemu.conf", folder)
    with (folder / "qemu.conf").open("a") as file:
        file.write("namespaces = []\n")
    return ["unshare", "--mount", "--propagation", "slave", "sh", "-c", HIDDEN, "sh", str(folder)]


@contextmanager
def _running(log: Path, words: list[str]) -> Iterator[None]:
    """A process with an end: it goes when the block does."""
    with log.open("w") as file:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)
