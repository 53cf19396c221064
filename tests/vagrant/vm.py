"""The Vagrantfile as it is, on a real virtual machine: up, provision, verify, destroy.

    tests/vagrant/vm.py [debian-12|debian-13]      as root, on Debian 12

Without KVM the processor is emulated, and this takes the better part of an hour; `VM_KVM=1` uses
KVM. What a run makes is in VM_FOLDER (default /var/tmp/mlops-vm-test); the next run starts with
removing what a killed one left.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import image
import libvirt

ROOT = Path(__file__).resolve().parents[2]
NAMES = {"debian-12": "debian/bookworm64", "debian-13": "debian/trixie64"}
FOLDER = Path(os.environ.get("VM_FOLDER", "/var/tmp/mlops-vm-test"))
KVM = os.environ.get("VM_KVM") == "1"
BEGIN = time.monotonic()


def say(message: str) -> None:
    """A line with the seconds since the start."""
    print(f"[{time.monotonic() - BEGIN:6.0f} s] {message}", flush=True)


def vagrant(*words: str) -> None:
    """Vagrant on the project's Vagrantfile, with a home and a state of its own."""
    say("vagrant " + " ".join(words))
    own = {
        "VAGRANT_HOME": str(FOLDER / "home"),
        "VAGRANT_DOTFILE_PATH": str(FOLDER / "state"),
        "VAGRANT_DEFAULT_PROVIDER": "libvirt",
        "VAGRANT_CHECKPOINT_DISABLE": "1",
    }
    command = ["vagrant", *words, "--no-tty"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, **own}, check=True)


def add_box(system: str) -> None:
    """The box under the name that the Vagrantfile has, with a version, as from a catalogue."""
    file = image.build(system, "kvm" if KVM else "qemu", FOLDER)
    provider = {"name": "libvirt", "url": f"file://{file}"}
    versions = [{"version": "1.0.0", "providers": [provider]}]
    catalogue = FOLDER / "catalogue.json"
    catalogue.write_text(json.dumps({"name": NAMES[system], "versions": versions}))
    vagrant("box", "add", "--force", "--provider", "libvirt", str(catalogue))
    file.unlink()


def main(system: str = "debian-12") -> None:
    """Everything, and the times."""
    libvirt.install()
    FOLDER.mkdir(mode=0o755, parents=True, exist_ok=True)
    with libvirt.daemon(FOLDER, kvm=KVM):
        if (FOLDER / "state").exists():
            vagrant("destroy", "--force", system)
        shutil.rmtree(FOLDER / "tree", ignore_errors=True)
        libvirt.forget(NAMES[system])
        say(f"building a box of {system}")
        add_box(system)
        try:
            vagrant("up", system)
        finally:
            vagrant("destroy", "--force", system)
            libvirt.forget(NAMES[system])
    shutil.rmtree(FOLDER)
    say("ok")


if __name__ == "__main__":
    main(*sys.argv[1:])
