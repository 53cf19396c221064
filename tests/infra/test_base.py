"""The operating system: time, users, folders, who may read what, what listens."""

import re

import pytest

SECRETS = ["fernet_key", "jwt_secret", "session_key", "admin_password", "verify_password"]


def test_no_unit_has_failed(host):
    failed = host.run("systemctl list-units --failed --plain --no-legend").stdout.split()
    assert not failed, f"failed: {' '.join(failed)}"


def test_the_clock_is_kept(host):
    daemons = ("systemd-timesyncd", "chrony", "ntpsec", "openntpd")
    assert any(host.service(name).is_enabled for name in daemons), "no time daemon is enabled"


def test_the_time_zone_is_as_wanted(host, context):
    wanted = context.config.base.timezone
    assert host.file("/etc/localtime").linked_to.endswith(wanted)


def test_the_service_user_cannot_log_in(host):
    user = host.user("airflow")
    assert user.exists, "there is no user airflow"
    assert user.shell == "/usr/sbin/nologin"
    assert user.uid < 1000, "airflow is not a system user"


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_are_for_root_only(host, name):
    file = host.file(f"/etc/mlops/secrets/{name}")
    assert file.exists, f"{file.path} is gone"
    assert (file.user, file.mode) == ("root", 0o600), f"{file.path} can be read by others"
    assert file.size > 16, f"{file.path} is empty or short"
    assert host.file("/etc/mlops/secrets").mode == 0o700


def test_nothing_else_listens_on_the_network(host):
    lines = host.run("ss -Hltun").stdout.splitlines()
    addresses = [re.split(r"\s+", line)[4] for line in lines]
    outside = {a for a in addresses if not re.match(r"(127\.|\[::1\]|\[::ffff:127\.)", a)}
    ours = {port: {a for a in outside if a.endswith(f":{port}")} for port in (80, 443)}
    assert ours[80] and ours[443], "nginx does not listen on 80 and 443"
    airflows = {a for a in outside if re.search(r":(8080|8793|8794|89\d\d|5432)$", a)}
    assert not airflows, f"open to the network: {', '.join(sorted(airflows))}"


def test_the_disk_has_room(host):
    free = int(host.check_output("df -Pm /var | awk 'NR == 2 {print $4}'"))
    assert free > 1000, f"{free} MiB left at /var"


def test_the_journal_is_bounded(host, context):
    wanted = f"SystemMaxUse={context.config.base.journal_max}"
    assert wanted in host.file("/etc/systemd/journald.conf.d/mlops.conf").content_string
