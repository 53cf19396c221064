"""Behind corporate walls: no way out but a proxy, and a package index of one's own."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
import walls
from mlops_install import box
from server import Server

pytestmark = [pytest.mark.box, pytest.mark.slow]
PASSWORDS = {"WALLS_PROXY": "hush9'proxy+/", "WALLS_INDEX": "hush9@index"}
CONFIG = """\
[base]
http_proxy = "http://{gateway}:{proxy}"
http_proxy_user = "mlops"
http_proxy_password = {{ env = "WALLS_PROXY" }}
no_proxy = ["{gateway}"]
ca_bundle = "{authority}"
python_index = "https://{gateway}:{index}/simple"
python_index_user = "mlops"
python_index_password = {{ env = "WALLS_INDEX" }}
apt_mirror = "{mirror}"
apt_security_mirror = "{security}"

[proxy]
https_port = 8443
http_port = 8088
"""
# The usual ports are somebody else's.
OTHERS = """\
systemd-run -q --unit=others perl -e 'use IO::Socket::INET;
  @s = map IO::Socket::INET->new(LocalPort => $_, Listen => 1, ReuseAddr => 1) || die, 80, 443;
  sleep'
"""


@pytest.fixture
def walled(boxes_here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A bare box that reaches this machine only, and the machine's proxy and index."""
    for key, value in PASSWORDS.items():
        monkeypatch.setenv(key, value)
    made = box.up(f"t-{secrets.token_hex(3)}", "debian-12", ephemeral=True, nat=False)
    server = Server(made, tmp_path / "server")
    authority, tls = walls.certificate(tmp_path, made.gateway)
    proxy = walls.serve(walls.Proxy, made.gateway, f"mlops:{PASSWORDS['WALLS_PROXY']}")
    index = walls.serve(walls.Index, made.gateway, f"mlops:{PASSWORDS['WALLS_INDEX']}", tls)
    mirror, security = walls.upstream_mirrors("bookworm")
    config = CONFIG.format(
        gateway=made.gateway, proxy=proxy.server_port, index=index.server_port,
        authority=authority, mirror=mirror, security=security,
    )  # fmt: skip
    server.config.write_text(config)
    server.proxy, server.index = proxy, index
    yield server
    proxy.shutdown()
    index.shutdown()
    box.down(made.name)


@pytest.mark.usefixtures("computing")
def test_a_server_behind_walls_is_provisioned_and_no_password_is_left_about(walled):
    walled.ssh(OTHERS)
    done = walled.cli("apply", "--yes")
    assert done.returncode == 0, done.end
    assert "checks ok" in done.output
    assert any("InRelease" in line for line in walled.proxy.seen)
    assert any("apache-airflow" in line for line in walled.index.seen)
    assert f"{walled.url}:8443" in done.stderr
    assert walled.ssh("systemctl is-active others") == "active"
    again = walled.cli("plan")
    assert again.returncode == 0, again.end
    shown = done.output + again.output + walled.ssh("journalctl --no-pager")
    shown += walled.ssh("cat /var/log/mlops/install.log")
    assert not [password for password in PASSWORDS.values() if password in shown]
    assert "hush9" not in shown
    readable = walled.ssh(
        "find /etc /opt /var /srv /usr/local /root /tmp -xdev -type f -size -1024k -print0"
        " | xargs -0 grep -lsI 'hush9' | xargs -r stat -c '%a %n'"
    ).split("\n")
    assert [line for line in readable if line], "the logins must be somewhere"
    assert not [line for line in readable if line and not line.startswith("600 ")]


def test_a_wrong_password_says_so_and_goes_no_further(walled, monkeypatch):
    monkeypatch.setenv("WALLS_PROXY", "wrong")
    done = walled.cli("apply", "--yes")
    assert done.returncode == 1
    assert "407" in done.output
    assert "hush9" not in done.output
    assert "absent" in walled.ssh("[ -e /opt/mlops/airflow ] || echo absent")
