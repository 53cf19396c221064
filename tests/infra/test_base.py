"""The operating system: time, users, folders, who may read what, what listens."""

import re

import pytest
from mlops_install.roles import stages

FOLDERS = "/etc/mlops /opt/mlops /srv/mlops /var/cache/mlops /var/lib/mlops /var/log/mlops"
UNITS = "/etc/systemd/system /usr/local/lib/systemd/system"
SECRETS = ["fernet_key", "jwt_secret", "session_key", "admin_password", "verify_password"]


def test_no_unit_has_failed(host):
    failed = host.run("systemctl list-units --failed --plain --no-legend").stdout.split()
    assert not failed, f"failed: {' '.join(failed)}"


def test_the_clock_is_kept(host):
    daemons = ("systemd-timesyncd", "chrony", "ntpsec", "openntpd")
    assert any(host.service(name).is_enabled for name in daemons), "no time daemon is enabled"


def test_the_time_zone_is_as_wanted(host, context):
    zone = f"/usr/share/zoneinfo/{context.config.base.timezone}"
    assert host.file(zone).is_file, f"the server has no {zone}, so its clock shows UTC"
    # In winter, in summer and now: a zone that is not read counts as UTC.
    days = "now 2026-01-01T12:00Z 2026-07-01T12:00Z"
    show = f"for day in {days}; do date -d $day '+%z %Z'; done"
    found, wanted = (host.run(f"{tz}; {show}").stdout for tz in ("unset TZ", f"export TZ=:{zone}"))
    assert found == wanted, (
        f"the clock has {found.split()[0]} {found.split()[1]},"
        f" {context.config.base.timezone} has {' '.join(wanted.split()[:2])}"
    )


def test_the_service_user_cannot_log_in(host):
    user = host.user("airflow")
    assert user.exists, "there is no user airflow"
    assert user.shell == "/usr/sbin/nologin", f"its shell is {user.shell}"
    assert user.uid < 1000, "airflow is not a system user"


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_are_for_root_only(host, name):
    file = host.file(f"/etc/mlops/secrets/{name}")
    assert file.exists, f"{file.path} is gone"
    assert (file.user, file.mode) == ("root", 0o600), f"{file.path} can be read by others"
    assert file.size > 16, f"{file.path} is empty or short"
    assert host.file("/etc/mlops/secrets").mode == 0o700, "others may enter /etc/mlops/secrets"


def test_no_file_of_ours_lends_its_owner(host):
    """Whoever starts a setuid file acts as its owner."""
    found = host.run(f"find {FOLDERS} -xdev -type f -perm /6000 2>/dev/null").stdout.splitlines()
    assert not found, f"setuid or setgid: {', '.join(found)}"


def test_no_file_of_ours_is_for_everybody_to_write(host):
    """What belongs to the user of tasks is the matter of tasks. uv's locks are behind a folder."""
    shut, own = "-type d ! -perm -001 -prune", "! -user mlops-task -perm -002"
    kinds = r"\( -type f -o -type d ! -perm -1000 \)"
    found = host.run(f"find {FOLDERS} -xdev {shut} -o {own} {kinds} -print").stdout.splitlines()
    assert not found, f"everybody may write: {', '.join(found)}"


def test_no_unit_is_there_under_our_names_but_ours(host, context):
    lanes = (lane for stage in stages(context) for lane in stage.lanes)
    ours = {made.name for lane in lanes for one in lane.resources for made in one.makes()}
    names = r"-regex '.*/\(airflow\|mlops\)[^/]*\.\(service\|timer\|socket\|path\|target\)'"
    found = host.run(f"find {UNITS} -maxdepth 1 -type f {names} 2>/dev/null").stdout.split()
    other = [path for path in found if path not in ours]
    assert not other, f"not from mlops-install: {', '.join(other)}"


def test_the_kernel_holds_the_limits_of_units(host):
    found = host.run("cd /sys/fs/cgroup; cat cgroup.controllers; ls").stdout
    missing = [name for name in ("memory", "pids") if name not in found.split()]
    if missing:
        pytest.skip(f"no cgroup controller {' and '.join(missing)}: what a task takes has no limit")


def test_only_the_proxy_listens_on_the_network(host, context):
    ours = {str(host.user(name).uid) for name in ("airflow", "postgres")}
    lines = [re.split(r"\s+", line) for line in host.run("ss -Hltune").stdout.splitlines()]
    outside = [words for words in lines if not re.match(r"(127\.|\[::1\]|\[::ffff:127)", words[4])]
    seen = {w[4] for w in outside if {x[4:] for x in w if x.startswith("uid:")} & ours}
    assert not seen, f"open to the network: {', '.join(sorted(seen))}"
    ports = {words[4].rpartition(":")[2] for words in outside}
    wanted = {str(context.config.proxy.http_port), str(context.config.proxy.https_port)}
    assert ports >= wanted, f"nginx does not listen on {' and '.join(sorted(wanted))}"


def test_the_disk_has_room(host):
    free = int(host.check_output("df -Pm /var | awk 'NR == 2 {print $4}'"))
    assert free > 1000, f"{free} MiB left at /var"


def test_the_journal_is_bounded(host, context):
    wanted = f"SystemMaxUse={context.config.base.journal_max}"
    found = host.file("/etc/systemd/journald.conf.d/mlops.conf").content_string
    assert wanted in found, f"{wanted} is not set"


def test_security_updates_come_as_wanted(host, context):
    wanted = context.config.base.security_updates
    active = host.run("systemctl is-active mlops-updates.timer").stdout.strip()
    assert active == ("active" if wanted else "inactive"), f"mlops-updates.timer is {active}"
    if not wanted:
        return
    shown = host.run("apt-config dump | grep -E '^Unattended-Upgrade::(Origins|Allowed|Auto)'")
    origins = re.findall(r'(?:Origins-Pattern|Allowed-Origins)::+ "(.*)";', shown.stdout)
    others = [origin for origin in origins if "-security" not in origin]
    assert origins, "no origin is allowed: another file of apt clears them"
    assert not others, f"updates from other origins would come too: {', '.join(others)}"
    reboot = re.search(r'::Automatic-Reboot "(.*)";', shown.stdout)
    assert reboot, "nothing says whether the server reboots by itself"
    assert reboot[1] == "false", "an update may restart the server"
