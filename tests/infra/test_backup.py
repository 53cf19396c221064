"""Backups: made by themselves when they are due, whole, and for root only."""

import json

import pytest
from mlops_install import backups

FOLDER = "/var/lib/mlops/backups"
TIMER = "mlops-backup.timer"
LATE = 2400
"""Seconds by which the timer may be late, with a few minutes for the backup itself."""
# When the next one was due after the newest, or after the timer was made; when it comes; and now.
DUE = f"""
[ -n "$base" ] || base=$(stat -c %Y /etc/systemd/system/{TIMER})
at() {{ # what systemd says of a time, in seconds
  date -d "$(printf '%s\\n' "$2" | sed -n "s/^ *$1: //p" | tail -n 1)" +%s
}}
when=$(systemctl cat {TIMER} | sed -n 's/^OnCalendar=\\(.\\)/\\1/p' | tail -n 1)
[ "$(systemctl is-active {TIMER})" = active ] || exit 0
for from in @$base now; do
  shown=$(LC_ALL=C systemd-analyze calendar --base-time="$from" "$when")
  case $shown in *'(in UTC): '*) at '(in UTC)' "$shown" ;; *) at 'Next elapse' "$shown" ;; esac
done
date +%s
"""


def newest(host):
    """Name and size of the newest of its own, and the size that its note tells; None for none."""
    found = host.run(
        f"f=$({backups.newest('manual', 'timer')})\n"
        f'[ -n "$f" ] && stat -c "$f %s %Y" {FOLDER}/$f && cat {FOLDER}/$f.json'
    ).stdout
    if not found:
        return None
    line, note = found.split("\n", 1)
    name, size, at = line.split()
    return name, int(size), int(at), json.loads(note or "{}").get("size")


def test_the_timer_is_as_wanted(host, context):
    active = host.run(f"systemctl is-active {TIMER}").stdout.strip()
    wanted = "inactive" if context.config.backup.every == "never" else "active"
    assert active == wanted, f"{TIMER} is {active}"


def test_the_next_one_will_come(host, context):
    if context.config.backup.every == "never":
        pytest.skip("none are wanted")
    show = "systemctl show -P"
    state = host.run(f"{show} SubState {TIMER}").stdout.strip()
    at = host.run(f"{show} NextElapseUSecRealtime {TIMER}").stdout.strip()
    assert at or state == "running", f"{TIMER} has no next run: it is {state}"


def test_the_last_one_that_was_due_was_made(host):
    found = newest(host)
    said = host.run(f"base={found[2] if found else ''}\n{DUE}").stdout.split()
    if len(said) != 3:
        pytest.skip("none are wanted")
    due, coming, now = map(int, said)
    if found is None and due + LATE > now:
        pytest.skip("none was due yet")
    show = "systemctl show -P ActiveState mlops-backup.service"
    busy = host.run(show).stdout.strip() == "activating" or coming - now < LATE
    assert busy or due + LATE > now, "no backup since it was due: journalctl -u mlops-backup"


def test_the_newest_is_whole(host):
    found = newest(host)
    if found is None:
        pytest.skip("there is none yet")
    name, size, _, noted = found
    assert size == noted, f"{name} has {size} bytes, its note tells of {noted}"


def test_they_are_for_root_only(host):
    folder = host.file(FOLDER)
    assert (folder.user, folder.mode) == ("root", 0o700), f"{FOLDER} is {folder.mode:o}"
    loose = host.run(f"find {FOLDER} -maxdepth 1 -perm /077 -print -quit").stdout.strip()
    assert not loose, f"others may read {loose}"
