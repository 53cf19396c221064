"""Faults for an upgrade that changes the database: what goes wrong, and when.

An error is put on the server before the run and taken away after it; a death comes when a line
of the run's output says that a point is reached.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mlops_install import box
from server import Server

FOLDER = "/var/lib/mlops/upgrade"
WRAPPER = (
    "cat > /usr/local/bin/{name} <<'END'\n#!/bin/sh\n{text}\nEND\nchmod 755 /usr/local/bin/{name}"
)
TAKEN = "connection_test_request"
"""A table that the migration to 3.3 makes."""
NEW = (
    "n=$(grep -l '^apache-airflow==3.3.2' /opt/mlops/airflow/*/requirements.txt"
    " | grep -v /current/); n=${n%/requirements.txt}"
)
ERRORS = {
    # name: (done before, undone after, what the message says)
    "pg_dump fails": (
        WRAPPER.format(name="pg_dump", text="echo disk on fire >&2; exit 1"),
        "rm /usr/local/bin/pg_dump",
        "pg_dump failed",
    ),
    "the dump gives back less": (
        WRAPPER.format(
            name="pg_restore",
            text='/usr/bin/pg_restore "$@" && psql -q -d airflow_before -c'
            " 'delete from log where id = (select max(id) from log)'",
        ),
        "rm /usr/local/bin/pg_restore",
        "does not give back what was dumped: public.log",
    ),
    "the restore of the dump fails": (
        WRAPPER.format(name="pg_restore", text="exit 1"),
        "rm /usr/local/bin/pg_restore",
        "cannot be restored",
    ),
    "no room": (
        f"mount -t tmpfs -o size=50m,mode=700 none {FOLDER}",
        f"umount -l {FOLDER}",
        "MiB free; saving Airflow's database first needs",
    ),
    "the disk fills up": (
        f"mount -t tmpfs -o size=600m,mode=700 none {FOLDER}\n"
        + WRAPPER.format(name="pg_dump", text="exec head -c 900M /dev/zero"),
        f"rm /usr/local/bin/pg_dump; umount -l {FOLDER}",
        "No space left on device",
    ),
    "the migration fails": (
        f"runuser -u airflow -- psql -q -d airflow -c 'create table {TAKEN} ()'",
        f"runuser -u airflow -- psql -q -d airflow -c 'drop table {TAKEN}'",
        "airflow database failed",
    ),
    "the new Airflow does not start": (
        f"{NEW}; mv $n/bin/airflow $n/bin/airflow.off",
        f"{NEW}; mv $n/bin/airflow.off $n/bin/airflow",
        "the upgrade to Airflow",
    ),
    "the verification fails": (
        # Airflow reads only files with both words.
        "echo 'import nothing_of_the_kind  # airflow dag' > /opt/mlops/dags/broken.py",
        "rm /opt/mlops/dags/broken.py",
        "the verification failed: airflow: dags parse without errors",
    ),
}
POINTS = {
    # name: (a line of the run's output, seconds after it)
    "draining": (r"waiting for:|paused for", 1.0),
    "stopping": (r"stopped airflow-watchdog", 0.2),
    "saving": (r"stopped airflow-api-server", 0.4),
    "proving": (r"dumped the database", 0.2),
    "migrating": (r"saved the files", 3.0),
    "starting": (r"configure: airflow database", 1.0),
    "verifying": (r"start: airflow answers", 2.0),
}


@contextmanager
def error(server: Server, name: str) -> Iterator[str]:
    """A server on which something is wrong; what the run must say."""
    before, after, words = ERRORS[name]
    server.ssh(before)
    try:
        yield words
    finally:
        server.ssh(after)


@dataclass(frozen=True)
class Death:
    """Who dies, and at which point."""

    who: str
    point: str


def start(server: Server) -> "subprocess.Popen[str]":
    return server.start("apply", "--yes")


def follow(run: "subprocess.Popen[str]", point: str) -> list[str]:
    """Read the run's output until the point is reached; what it said."""
    pattern, delay = POINTS[point]
    said = []
    assert run.stdout
    for line in run.stdout:
        said.append(line.rstrip())
        if re.search(pattern, line):
            time.sleep(delay)
            return said
    raise AssertionError(f"{point} was not reached: " + "\n".join(said))


# The sshd processes of all logins but our own.
LOGINS = """
for p in /proc/[0-9]*; do
  case "$(tr '\\0' ' ' 2>/dev/null < $p/cmdline)" in
    sshd*@notty*) [ ${p#/proc/} = $PPID ] || kill -9 ${p#/proc/} ;;
  esac
done
"""


def installer(server: Server, run: "subprocess.Popen[str]") -> None:
    os.kill(run.pid, signal.SIGKILL)


def connection(server: Server, run: "subprocess.Popen[str]") -> None:
    server.ssh(LOGINS)


def step(server: Server, run: "subprocess.Popen[str]") -> None:
    """The step of the upgrade on the server."""
    server.ssh("pkill -9 -f 'mlops_server upgrade (drain|begin|commit)'")


def both(server: Server, run: "subprocess.Popen[str]") -> None:
    """The installer, and the guard while it goes back."""
    os.kill(run.pid, signal.SIGKILL)
    server.ssh(
        f'for i in $(seq 300); do grep -qs \'"phase": "returning"\' {FOLDER}/state.json && break;'
        " sleep 0.1; done; sleep 0.3; pkill -9 -f 'mlops_server upgrade guard'; true"
    )


def power(server: Server, run: "subprocess.Popen[str]") -> None:
    box.power_off(server.name)
    run.wait(timeout=180)
    box.up(server.name, server.box.system, ephemeral=True)


def power_on_the_way_back(server: Server, run: "subprocess.Popen[str]") -> None:
    """The installer dies, and the power fails while the guard goes back."""
    os.kill(run.pid, signal.SIGKILL)
    server.ssh(
        f'for i in $(seq 300); do grep -qs \'"phase": "returning"\' {FOLDER}/state.json && break;'
        " sleep 0.1; done"
    )
    box.power_off(server.name)
    box.up(server.name, server.box.system, ephemeral=True)


DEATHS: dict[str, tuple[Callable[[Server, "subprocess.Popen[str]"], None], tuple[str, ...]]] = {
    "installer": (installer, ("draining", "saving", "migrating", "starting", "verifying")),
    "connection": (connection, ("migrating", "verifying")),
    "step": (step, ("draining", "proving")),
    "guard": (both, ("starting",)),
    "power": (power, ("draining", "stopping", "proving", "migrating", "starting", "verifying")),
    "power on the way back": (power_on_the_way_back, ("starting",)),
}
EVERY = [Death(who, point) for who, (_, points) in DEATHS.items() for point in points]
