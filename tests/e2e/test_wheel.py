"""The built wheel holds everything and works without the checkout, also on the server itself."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import walls
from server import Done, Server, run, wait_for

ROOT = Path(__file__).parents[2]
UNIT = "/etc/systemd/system/airflow-triggerer.service"

pytestmark = [pytest.mark.box, pytest.mark.slow]
on_debian_12 = pytest.mark.parametrize("system", ["debian-12"])


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    words = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(folder)]
    done = subprocess.run([*words, str(ROOT)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The console script in a venv that has nothing but the wheel and what it needs."""
    venv = tmp_path_factory.mktemp("empty") / "venv"
    uv, index = Path(sys.executable).with_name("uv"), walls.upstream_index()
    subprocess.run([uv, "venv", "-q", "-p", sys.executable, venv], check=True)
    words = [uv, "pip", "install", "-q", "-p", venv, "--default-index", index, wheel]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return venv / "bin/mlops-install"


@pytest.fixture(autouse=True)
def no_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python finds the package only where it is installed."""
    monkeypatch.delenv("PYTHONPATH", raising=False)


def test_it_holds_everything_that_is_shipped(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    shipped = {
        f"mlops_install/{package}/{file.relative_to(ROOT / source)}"
        for package, source in (
            ("roles", "roles"), ("templates", "templates"), ("infra_tests", "tests/infra"),
            ("locks", "installer/mlops_install/locks"),
        )
        for file in (ROOT / source).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }  # fmt: skip
    shipped |= {
        str(file.relative_to(ROOT / "installer"))
        for package in ("mlops_install", "mlops_server", "mlops_airflow")
        for file in (ROOT / "installer" / package).rglob("*")
        if file.is_file() and file.suffix != ".pyc"
    }
    assert len(shipped) > 100
    assert shipped | {"mlops_install/help.txt"} <= names
    assert not [name for name in names if "test_e2e" in name or name.startswith("tests/")]


@on_debian_12
def test_it_puts_a_server_right_and_verifies_it(program: Path, provisioned: Server) -> None:
    provisioned.ssh(f"rm {UNIT}; systemctl stop airflow-triggerer; rm -rf /opt/mlops/tools")
    options = ["-F", str(provisioned.ssh_config), "-c", str(provisioned.config)]

    def mlops(command: str, *more: str) -> Done:
        words = [str(program), command, provisioned.name, *options, *more]
        return run(words, provisioned.folder)

    done = mlops("apply", "--yes")
    assert done.returncode == 0, done.end
    assert "checks ok" in done.stderr
    assert mlops("plan").returncode == 0
    version = run([str(program), "--version"], provisioned.folder)
    assert version.stdout.startswith("mlops-install ")
    assert "apply" in run([str(program), "--help"], provisioned.folder).stdout


@on_debian_12
def test_a_server_can_install_itself(wheel: Path, provisioned: Server) -> None:
    """`local`: the wheel on the server, which is its own target."""
    copied = f"/root/{wheel.name}"
    words = ["scp", "-q", "-F", str(provisioned.ssh_config), str(wheel)]
    subprocess.run([*words, f"{provisioned.name}:{copied}"], check=True)
    words[4:] = [str(provisioned.config)]
    subprocess.run([*words, f"{provisioned.name}:/root/mlops.toml"], check=True)
    uv = "/opt/mlops/tools/current/bin/uv"
    try:
        provisioned.ssh(
            f"set -e; uv={uv}; . /etc/mlops/secrets/network.env\n"
            f"$uv venv -q /root/itself; $uv pip install -q -p /root/itself/bin/python {copied}\n"
            f"rm {UNIT}; chmod 0600 /etc/mlops/airflow.cfg"
        )
        itself = "cd /root; /root/itself/bin/mlops-install"
        planned = provisioned.try_ssh(f"{itself} plan local")
        assert planned.returncode == 2, planned.stdout + planned.stderr
        assert f"file {UNIT}" in planned.stdout
        applied = provisioned.try_ssh(f"{itself} apply --yes local")
        assert applied.returncode == 0, applied.stdout + applied.stderr
        assert "checks ok" in applied.stderr
        assert provisioned.url in applied.stderr
    finally:
        provisioned.ssh(f"rm -rf /root/itself {copied} /root/mlops.toml")
        provisioned.apply()
    wait_for(lambda: provisioned.cli("plan").returncode == 0, "an empty plan", 30)
