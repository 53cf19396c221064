"""A box for vagrant-libvirt, built on the spot: Debian with a kernel and a boot loader of its own.

It stands on the root file system of the project's own boxes and reaches the registries like
them: through the settings that this machine has when it is built.
"""

import json
import shutil
import struct
import sys
from pathlib import Path

from mlops_install import box
from mlops_install.box import host, root, state
from mlops_install.box.tools import install_packages, locked, run

DISK_GB = 10
START = 2048  # sectors before the partition
PACKAGES = ("linux-image-cloud-amd64", "libpam-systemd", "python3", "rsync", "systemd-resolved")
TOOLS = {"qemu-img": "qemu-utils", "extlinux": "extlinux", "mkfs.ext4": "e2fsprogs"}
BOOT = "root=LABEL=root rw console=ttyS0 net.ifnames=0 mitigations=off"
# Vagrant's own public key: everyone has its private part, so Vagrant replaces it at the first up.
PUBLIC_KEY = "/usr/share/rubygems-integration/all/gems/vagrant-*/keys/vagrant.pub"
ACCELERATOR = {
    "qemu": 'l.driver = "qemu"; l.cpu_mode = "custom"; l.cpu_model = "qemu64"',
    "kvm": 'l.driver = "kvm"',
}
GUEST = f"""
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends {" ".join(PACKAGES)} >/dev/null
update-ca-certificates >/dev/null
useradd --create-home --shell /bin/bash vagrant
install -d -m 0700 -o vagrant -g vagrant /home/vagrant/.ssh
install -m 0600 -o vagrant -g vagrant /vagrant.pub /home/vagrant/.ssh/authorized_keys
rm /vagrant.pub
echo 'vagrant ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/vagrant
ssh-keygen -q -A
printf 'LABEL=root / ext4 defaults 0 1\\n' >/etc/fstab
printf '[Match]\\nName=en* eth*\\n[Network]\\nDHCP=yes\\n' >/etc/systemd/network/dhcp.network
systemctl enable -q systemd-networkd systemd-resolved
ln -sf /run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
apt-get clean
"""


def build(system: str, accelerator: str, folder: Path) -> Path:
    """The `.box` file of the system in `folder`, which may take a gigabyte and two minutes."""
    install_packages([package for tool, package in TOOLS.items() if not shutil.which(tool)])
    tree, disk = folder / "tree", folder / "disk.raw"
    _tree(system, tree)
    _disk(tree, disk)
    shutil.rmtree(tree)
    run("qemu-img", "convert", "-O", "qcow2", str(disk), str(folder / "box.img"))
    disk.unlink()
    about = {"provider": "libvirt", "format": "qcow2", "virtual_size": DISK_GB}
    (folder / "metadata.json").write_text(json.dumps(about))
    (folder / "Vagrantfile").write_text(
        'Vagrant.configure("2") { |c| c.vm.provider(:libvirt) { |l| '
        + ACCELERATOR[accelerator] + " } }\n"
    )  # fmt: skip
    made = folder / f"{system}.box"
    run("tar", "-C", str(folder), "-cf", str(made), "metadata.json", "Vagrantfile", "box.img")
    (folder / "box.img").unlink()
    return made


def _tree(system: str, tree: Path) -> None:
    """A copy of the boxes' root file system that can boot by itself."""
    with locked(box.LOCK):
        used = {layer for record in state.records() for layer in record.layers}
        lower = root.rootfs(system, used, lambda message: print(message, file=sys.stderr))
        run("cp", "-a", "--reflink=auto", str(lower), str(tree))
    for path, text in host.settings(root.SYSTEMS[system]).items():
        file = tree / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (tree / "etc/hostname").write_text(system + "\n")
    (tree / "etc/hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {system}\n::1 localhost\n")
    (key,) = Path("/").glob(PUBLIC_KEY.lstrip("/"))
    shutil.copy(key, tree / "vagrant.pub")
    run(
        "systemd-nspawn", "--quiet", "--settings=no", "--register=no", "--keep-unit",
        "--resolv-conf=off", "--timezone=off", "--link-journal=no", f"--directory={tree}",
        "sh", "-c", GUEST,
    )  # fmt: skip


def _disk(tree: Path, disk: Path) -> None:
    """A disk with one partition that holds `tree`, and extlinux to boot it."""
    sectors = DISK_GB * 2**30 // 512 - START
    with disk.open("wb") as file:
        file.truncate(DISK_GB * 2**30)
        file.write(Path("/usr/lib/EXTLINUX/mbr.bin").read_bytes())
        # Active, Linux; the bytes of cylinders and heads are those that say "look at the sectors".
        entry = struct.pack(
            "<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", START, sectors
        )
        file.seek(446)
        file.write(entry)
        file.seek(510)
        file.write(b"\x55\xaa")
    _boot_files(tree)
    # extlinux does not know what newer versions of mkfs turn on.
    run("mkfs.ext4", "-q", "-F", "-L", "root", "-O", "^64bit,^metadata_csum", "-d", str(tree),
        "-E", f"offset={START * 512}", str(disk), f"{sectors // 2}k")  # fmt: skip
    mounted = f'mount -o loop,offset={START * 512} "$1" "$2" && extlinux --install "$2/boot"'
    place = disk.with_suffix(".mount")
    place.mkdir(exist_ok=True)
    run("unshare", "--mount", "sh", "-c", mounted, "sh", str(disk), str(place))
    place.rmdir()


def _boot_files(tree: Path) -> None:
    (kernel,) = (tree / "boot").glob("vmlinuz-*")
    version = kernel.name.removeprefix("vmlinuz-")
    (tree / "boot/extlinux.conf").write_text(
        "default linux\nprompt 0\nlabel linux\n"
        f"kernel {kernel.name}\ninitrd initrd.img-{version}\nappend {BOOT}\n"
    )
