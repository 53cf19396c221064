"""The Vagrantfile: what it says to each provider, and `up` to `destroy` on one of our own boxes."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlops_install import box
from mlops_install.box.tools import install_packages

pytestmark = [pytest.mark.box, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
PARTS = ROOT / "tests" / "vagrant"
PACKAGES = ("vagrant", "vagrant-libvirt")
BOXES = {
    "debian-12": "debian/bookworm64",
    "debian-13": "debian/trixie64",
    "ubuntu-24.04": "bento/ubuntu-24.04",
}


@dataclass(frozen=True)
class Vagrant:
    """Vagrant with a home and a state of its own; only the project's Vagrantfile is the user's."""

    folder: Path

    def run(self, *words: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        """A command in the project's folder, to its end."""
        environment = {
            **os.environ,
            "HOME": str(self.folder),
            "VAGRANT_HOME": str(self.folder / "home"),
            "VAGRANT_DOTFILE_PATH": str(self.folder / "state"),
            "VAGRANT_CHECKPOINT_DISABLE": "1",
            "VAGRANT_DEFAULT_PROVIDER": "nspawn",
            "MLOPS_TEST_PYTHON": sys.executable,
            "MLOPS_TEST_OWNER": str(os.getpid()),
            "MLOPS_CONFIG": str(self.folder / "mlops.toml"),
            **variables,
        }
        return subprocess.run(
            words, cwd=ROOT, env=environment, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, timeout=600, check=False,
        )  # fmt: skip

    def well(self, *words: str, **variables: str) -> str:
        """What a command says that must end well."""
        done = self.run(*words, **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def vagrant(boxes_here: None, tmp_path_factory: pytest.TempPathFactory) -> Vagrant:
    """Debian's Vagrant with the provider of the tests; installed on this machine when missing."""
    missing = [name for name in PACKAGES if not Path("/usr/share/doc", name).exists()]
    foreign = shutil.which("vagrant") and "vagrant" in missing
    if foreign or not shutil.which("apt-get"):
        pytest.skip("these tests want Debian's own packages of Vagrant")
    if missing:
        install_packages([*missing, "dnsmasq-base", "libvirt-clients", "libvirt-daemon-system"])
    folder = tmp_path_factory.mktemp("vagrant")
    (folder / "home").mkdir()
    (folder / "home" / "Vagrantfile").write_text(f'load "{PARTS}/nspawn.rb"\n')
    (folder / "mlops.toml").write_text('[airflow]\nadmin_user = "vera"\n')
    return Vagrant(folder)


@pytest.mark.parametrize("provider", ["libvirt", "nspawn"])
def test_the_vagrantfile_is_valid(vagrant, provider):
    vagrant.well("vagrant", "validate", VAGRANT_DEFAULT_PROVIDER=provider)


def test_every_provider_gets_the_size_and_nothing_that_it_does_not_know(vagrant):
    """Blocks of VirtualBox and Hyper-V too, which `validate` reads only where those are."""
    providers = ("virtualbox", "hyperv", "libvirt")
    said = vagrant.well("ruby", str(PARTS / "blocks.rb"), *providers, MLOPS_MEMORY="3072")
    found = json.loads(said.splitlines()[-1])
    assert set(found) == set(providers)
    for provider, machines in found.items():
        assert {name: machine["box"] for name, machine in machines.items()} == BOXES
        for machine in machines.values():
            assert machine["unknown"] == []
            sizes = re.findall(r"\d+", json.dumps(machine["size"]))
            assert sizes == ["3072", "2"], provider


@pytest.mark.usefixtures("computing")
def test_a_machine_comes_up_provisioned_and_verified_and_goes_without_a_trace(vagrant):
    said = vagrant.well("vagrant", "up")
    try:
        assert "checks ok" in said, said
        folder = vagrant.folder / "state/machines/debian-12/nspawn"
        name = (folder / "id").read_text()
        options = ("ssh", "-F", f"{folder}/mlops-install/ssh_config", "debian-12")
        users = "select username from ab_user order by 1"
        query = f'cd /; sudo -u postgres psql -XAtd airflow -c "{users}"'
        assert vagrant.well(*options, query).split() == ["mlops-verify", "vera"]
        again = vagrant.well("vagrant", "up")
        assert "already provisioned" in again, again
        _another_host_key_is_refused(vagrant, folder)
    finally:
        vagrant.well("vagrant", "destroy", "--force")
    assert not any(folder.iterdir())
    assert name not in [made.name for made in box.boxes()]


def _another_host_key_is_refused(vagrant: Vagrant, folder: Path) -> None:
    known = folder / "mlops-install" / "known_hosts"
    text = known.read_text()
    address, kind, key = text.split()
    other = vagrant.folder / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    known.write_text(f"{address} {kind} {Path(f'{other}.pub').read_text().split()[1]}\n")
    done = vagrant.run("vagrant", "provision")
    known.write_text(f"{address} {kind} {key}\n")
    said = done.stdout + done.stderr
    assert done.returncode != 0, said
    assert "has CHANGED" in said
    assert "The installer failed" in said
