"""Backups: made by themselves when they are due, whole, and for root only."""

import json

import pytest
from mlops_install import backups

FOLDER = "/var/lib/mlops/backups"
TIMER = "mlops-backup.timer"


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
    show = "systemctl show --timestamp=unix -P"
    due = host.run(f"{show} LastTriggerUSec {TIMER}").stdout.strip().lstrip("@")
    if not due.isdigit():
        pytest.skip("none was due yet")
    busy = host.run(f"{show} ActiveState mlops-backup.service").stdout.strip()
    found = newest(host)
    made = found is not None and found[2] >= int(due)
    assert made or busy == "activating", "no backup since it was due: journalctl -u mlops-backup"


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
