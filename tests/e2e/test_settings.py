"""Settings that change a running server, and only what depends on them."""

import ssl
import subprocess

import pytest
from server import Server

pytestmark = [pytest.mark.box, pytest.mark.parametrize("system", ["debian-13"])]


def append(server: Server, text: str) -> None:
    server.config.write_text(server.config.read_text() + text)


def served(server: Server) -> str:
    return ssl.get_server_certificate((server.box.address, 443))


def test_an_own_certificate_is_served_and_only_the_proxy_restarts(provisioned, tmp_path):
    before, own, text = provisioned.units(), served(provisioned), provisioned.config.read_text()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "30", "-subj", "/CN=own", "-keyout", "own.key", "-out", "own.pem",
         "-addext", f"subjectAltName=IP:{provisioned.box.address}"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    append(provisioned, f'\n[proxy]\ncertificate = "{tmp_path}/own.pem"\n'
                        f'certificate_key = "{tmp_path}/own.key"\n')  # fmt: skip
    try:
        plan = provisioned.cli("plan")
        assert (tmp_path / "own.key").read_text().splitlines()[1] not in plan.output
        provisioned.apply()
        assert served(provisioned).split() == (tmp_path / "own.pem").read_text().split()
        after = provisioned.units()
        assert {unit for unit in before if before[unit] != after[unit]} == {"nginx.service"}
        assert provisioned.cli("verify").returncode == 0
    finally:
        provisioned.config.write_text(text)
        provisioned.apply()
    assert served(provisioned).split() != (tmp_path / "own.pem").read_text().split()
    assert own  # the self-signed one is made anew: the old key was replaced


def test_a_locale_and_a_package_are_added_without_a_restart(provisioned):
    before, text = provisioned.units(), provisioned.config.read_text()
    lines = '[base]\nlocale = "de_CH.UTF-8"\npackages = ["tree"]\n'
    provisioned.config.write_text(text.replace("[base]\n", lines))
    try:
        provisioned.apply()
        assert "de_CH.utf8" in provisioned.ssh("locale -a")
        assert provisioned.ssh("LANG=de_CH.UTF-8 tree --version")
        assert provisioned.units() == before
    finally:
        provisioned.config.write_text(text)
        provisioned.apply()
