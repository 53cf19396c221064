"""Settings that change a running server, and only what depends on them."""

import contextlib
import fcntl
import os
import pty
import re
import signal
import socket
import ssl
import subprocess
import termios
import time

import pytest
import walls
from probe import Probe
from server import Server, environment

pytestmark = [pytest.mark.box, pytest.mark.parametrize("system", ["debian-12"])]


def append(server: Server, text: str) -> None:
    server.config.write_text(server.config.read_text() + text)


def served(server: Server) -> str:
    return ssl.get_server_certificate((server.box.address, 443))


def test_an_own_certificate_is_served_and_nothing_restarts(provisioned, tmp_path):
    before, text = provisioned.units(), provisioned.config.read_text()
    authority, _ = walls.certificate(tmp_path, provisioned.address)
    chain = tmp_path / "chain.pem"
    chain.write_text((tmp_path / "own.pem").read_text() + authority.read_text())
    append(provisioned, f'\n[proxy]\ncertificate = "{chain}"\n'
                        f'certificate_key = "{tmp_path}/own.key"\n')  # fmt: skip
    try:
        plan = provisioned.cli("plan")
        assert (tmp_path / "own.key").read_text().splitlines()[1] not in plan.output
        with Probe(provisioned) as probe:
            provisioned.apply()
        assert not probe.failures, probe.failures[:5]
        assert served(provisioned).split() == (tmp_path / "own.pem").read_text().split()
        known = ssl.create_default_context(cafile=str(authority))
        address = (provisioned.box.address, 443)
        with socket.create_connection(address) as plain:
            known.wrap_socket(plain, server_hostname=provisioned.address).close()
        after = provisioned.units()
        assert after == before, "nginx reloads"
        verified = provisioned.cli("verify")
        assert verified.returncode == 0, verified.end
    finally:
        provisioned.config.write_text(text)
        provisioned.apply()
    assert served(provisioned).split() != (tmp_path / "own.pem").read_text().split()


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


def take_the_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored where the tests run in the background


def on_a_terminal(server: Server, keys: bytes, **variables: str) -> tuple[int, str]:
    """Run `apply` on a terminal and type `keys` at its question; exit code and screen."""
    ours, theirs = pty.openpty()
    words = [word for word in server.words("apply", "--no-verify") if word != "--yes"]
    process = subprocess.Popen(
        words, stdin=theirs, stdout=theirs, stderr=theirs, cwd=server.folder,
        env=environment(server.folder) | {"TERM": "xterm-256color"} | variables,
        start_new_session=True, preexec_fn=take_the_terminal,
    )  # fmt: skip
    os.close(theirs)
    screen = b""
    with contextlib.suppress(OSError):
        while data := os.read(ours, 65536):
            screen += data
            if b"[y/N]" in screen and keys:
                time.sleep(0.5)  # Python's input() loses a Ctrl-C that comes just before it
                os.write(ours, keys)
                keys = b""
    os.close(ours)
    return process.wait(60), screen.decode()


def test_on_a_terminal_it_asks_and_shows_what_runs(provisioned):
    provisioned.ssh("rm /opt/mlops/tools/current/.ready")
    code, screen = on_a_terminal(provisioned, b"n\n")
    assert (code, "nothing was changed" in screen) == (2, True), screen
    code, screen = on_a_terminal(provisioned, b"\x03")
    assert (code, "stopped" in screen) == (130, True), screen
    assert provisioned.cli("plan").returncode == 2
    code, screen = on_a_terminal(provisioned, b"y\n", NO_COLOR="1")
    assert code == 0, screen
    assert "0/1 done" in screen
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", screen), "colours in spite of NO_COLOR"
    plan = provisioned.cli("plan")
    assert plan.returncode == 0, plan.end
