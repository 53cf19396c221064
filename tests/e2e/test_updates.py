"""Security updates by themselves: from the security origin only, and under tasks that run."""

import re

import pytest
from server import Server, answers, wait_for

pytestmark = [pytest.mark.box, pytest.mark.slow, pytest.mark.parametrize("system", ["debian-12"])]
# Two archives in folders: one says that it is Debian's for security, the other that for updates.
# Each has packages of the server under a later version.
ARCHIVES = r"""
set -e
later() {  # FOLDER PACKAGE...: the installed packages once more, as a later version
  mkdir -p $1
  for name in "${@:2}"; do (
    cd $(mktemp -d)
    apt-get -q download $name >&2
    dpkg-deb -R *.deb new
    sed -i 's/^Version: .*/&+later1/' new/DEBIAN/control
    dpkg-deb -b new $1/$name.deb >&2
  ); done
}
archive() {  # FOLDER LABEL CODENAME
  cd $1
  for deb in *.deb; do
    dpkg-deb -f $deb
    printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' $deb $(stat -c %s $deb) \
      $(sha256sum $deb | cut -d' ' -f1)
  done > Packages
  printf 'Origin: Debian\nLabel: %s\nSuite: stable\nCodename: %s\nSHA256:\n %s %s Packages\n' \
    $2 $3 $(sha256sum Packages | cut -d' ' -f1) $(stat -c %s Packages) > Release
}
apt-get -q update >&2
later /srv/archive/security libpq5 libssl3 postgresql-15
later /srv/archive/others tzdata procps
archive /srv/archive/security Debian-Security bookworm-security
archive /srv/archive/others Debian bookworm
mkdir -p /srv/sources
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
  [ ! -e $file ] || mv $file /srv/sources/
done
for name in security others; do
  echo "deb [trusted=yes] file:/srv/archive/$name ./"
done > /etc/apt/sources.list
apt-get -q update >&2
"""
BACK = """\
rm -f /etc/apt/sources.list; mkdir -p /etc/apt/sources.list.d
cd /srv/sources && for file in *; do
  case $file in sources.list) mv $file /etc/apt/;; *) mv $file /etc/apt/sources.list.d/;; esac
done; apt-get -q update
"""
SECURITY, OTHERS = {"libpq5", "libssl3", "postgresql-15"}, {"tzdata", "procps"}


def later(server: Server) -> set[str]:
    """Which packages have the later version."""
    shown = server.ssh("dpkg-query -W -f '${Package} ${Version}\\n'")
    return {line.split()[0] for line in shown.splitlines() if line.endswith("+later1")}


def test_only_security_updates_come_and_a_task_that_runs_does_not_notice(tasks: Server) -> None:
    assert tasks.ssh("systemctl is-active mlops-updates.timer") == "active"
    boot = tasks.ssh("cat /proc/sys/kernel/random/boot_id")
    tasks.ssh(ARCHIVES)
    try:
        waiting = tasks.ssh("apt-get -s upgrade | awk '/^Inst/ {print $2}'").split()
        assert set(waiting) >= SECURITY | OTHERS
        tried = tasks.ssh("unattended-upgrade --dry-run -v 2>&1")
        chosen = re.search(r"Packages that will be upgraded: (.*)", tried)
        assert chosen, tried
        assert set(chosen[1].split()) == SECURITY
        assert not later(tasks), "a dry run installs nothing"
        nap = tasks.nap(45).started()
        tasks.ssh("systemctl start mlops-updates.service")
        assert later(tasks) == SECURITY
        assert nap.ended() == "success"
        assert len(nap.starts) == nap.tries == 1
    finally:
        tasks.ssh(BACK)
    assert tasks.ssh("cat /proc/sys/kernel/random/boot_id") == boot
    wait_for(lambda: answers(tasks), "Airflow", 60)
    assert tasks.nap(1).ended() == "success"
    # The scheduler of the task had lost its database; it starts anew after the task's end.
    wait_for(lambda: tasks.cli("plan").returncode == 0, "an empty plan", 90, 2)
    assert tasks.ssh("systemctl list-units --failed --plain --no-legend") == ""


def test_they_can_be_switched_off_and_on(tasks: Server) -> None:
    there = "ls /etc/apt/apt.conf.d/52mlops-updates; systemctl is-active mlops-updates.timer"
    text = tasks.config.read_text()
    tasks.config.write_text(text.replace("[base]\n", "[base]\nsecurity_updates = false\n"))
    try:
        tasks.apply()
        said = tasks.try_ssh(there).stdout
        assert "52mlops" not in said
        assert "inactive" in said
        plan = tasks.cli("plan")
        assert plan.returncode == 0, plan.end
    finally:
        tasks.config.write_text(text)
        tasks.apply()
    assert tasks.ssh(there).endswith("\nactive")
    plan = tasks.cli("plan")
    assert plan.returncode == 0, plan.end
