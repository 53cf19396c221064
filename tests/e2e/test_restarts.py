"""A change restarts only what reads it, and nobody who asks Airflow notices.

A client asks every 100 ms meanwhile. The limits on gaps are wide, for busy machines; what was
measured is in docs/restarts.md.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from probe import Probe
from server import Server, answers, wait_for
from test_provision import open_ports
from test_tasks import assert_ran_once

pytestmark = [
    pytest.mark.box,
    pytest.mark.slow,
    pytest.mark.parametrize("system", ["debian-13"]),
]
SLOTS = {"airflow-api-server@a.service", "airflow-api-server@b.service"}
BROKEN = """\
mkdir -p {folder}
echo '[Service]
ExecStartPre=/bin/sh -c "echo its disk is broken; exit 1"' > {folder}/test.conf
systemctl daemon-reload
"""
PATIENCE = "/run/systemd/system/airflow-api-server@.service.d"
# It does not end when it is told to, and is killed after a second instead of a minute.
HUNG = f"""\
mkdir -p {PATIENCE}; printf '[Service]\\nTimeoutStopSec=1\\n' > {PATIENCE}/test.conf
systemctl daemon-reload
kill -STOP $(systemctl show -P MainPID {{spare}})
"""
# What a security update does: new files under what runs, and PostgreSQL restarted by its package.
UPDATE = """\
found() { dpkg-query -W -f '${Package} ${db:Status-Status}\\n' "$@" | sed -n 's/ installed$//p'; }
apt-get -q update
DEBIAN_FRONTEND=noninteractive apt-get -yq install --reinstall $(found 'postgresql-[0-9]*' \
  libpq5 'libssl3*' libc6 'libpython3*-stdlib' 'python3*-minimal' nginx)
"""


@contextmanager
def changed(server: Server, old: str, new: str) -> Iterator[None]:
    """Other settings for a while; then the server is put right."""
    text = server.config.read_text()
    assert old in text
    server.config.write_text(text.replace(old, new))
    try:
        yield
    finally:
        server.config.write_text(text)
        server.apply()
        plan = server.cli("plan")
        assert plan.returncode == 0, plan.end


def running(server: Server) -> dict[str, str]:
    """The services that run: their main process and since when."""
    return {unit: shown for unit, shown in server.units().items() if '"MainPID": "0"' not in shown}


def touched(server: Server, before: dict[str, str]) -> set[str]:
    """The services of which one started, stopped or restarted since."""
    after = running(server)
    return {unit for unit in before | after if before.get(unit) != after.get(unit)}


def test_another_number_of_api_workers_moves_the_api_server_to_the_other_slot(
    tasks: Server,
) -> None:
    """At first it does not start: the old one serves on, and the next run carries on."""
    nap, before, first = tasks.nap(45).started(), running(tasks), tasks.api_server
    (spare,) = SLOTS - {first}
    folder = f"/run/systemd/system/{spare}.d"
    with Probe(tasks) as probe, changed(tasks, "[airflow]", "[airflow]\napi_workers = 1"):
        tasks.ssh(BROKEN.format(folder=folder))
        try:
            done = tasks.cli("apply", "--yes", "--no-verify")
        finally:
            tasks.ssh(f"rm -r {folder}; systemctl daemon-reload")
        assert done.returncode == 1, done.end
        assert "API server failed" in done.stderr
        assert "its disk is broken" in done.stderr, done.stderr
        assert touched(tasks, before) == set(), "the old one serves on, alone"
        tasks.apply()
        assert touched(tasks, before) == SLOTS
        assert {first, tasks.api_server} == SLOTS
    assert tasks.api_server == first, "back again"
    assert touched(tasks, before) == {first}
    probe.assert_unnoticed()
    assert_ran_once(nap)


def test_the_number_of_schedulers_follows_the_config(tasks: Server) -> None:
    """Four, one, and two again; what runs meanwhile runs to its end where it started."""
    before = running(tasks)
    with Probe(tasks) as probe, changed(tasks, "[airflow]", "[airflow]\nschedulers = 4"):
        tasks.apply()
        added = {f"airflow-scheduler@{i}.service" for i in (3, 4)}
        assert touched(tasks, before) == added
        naps = [tasks.nap(15) for _ in range(8)]
        spread = {nap.started().scheduler for nap in naps}
        assert spread - {"airflow-scheduler@1"}, "tasks ran elsewhere as well"
        text = tasks.config.read_text()
        tasks.config.write_text(text.replace("schedulers = 4", "schedulers = 1"))
        tasks.apply()
        assert touched(tasks, before) == {"airflow-scheduler@2.service"}
        assert [nap.ended() for nap in naps] == ["success"] * 8
        assert [nap.tries for nap in naps] == [1] * 8
        assert [len(nap.starts) for nap in naps] == [1] * 8
        left = tasks.ssh("pgrep -fa 'airflow scheduler' || true; ls /etc/systemd/system/*.wants/")
        assert "airflow-scheduler@2" not in left
        gone = "select hostname from job where job_type = 'SchedulerJob' and state = 'running'"
        assert tasks.sql(gone) == "scheduler-1.localhost"
    probe.assert_unnoticed()


def test_another_port_keeps_people_and_tasks(tasks: Server) -> None:
    """Links in logs and mails have the port in them, so all of Airflow reads it."""
    nap, before = tasks.nap(20).started(), running(tasks)
    airflow = {unit for unit in before if unit.startswith("airflow-")} | SLOTS
    ports = "[proxy]\nhttps_port = 8443\nhttp_port = 8088\n\n[airflow]"
    with Probe(tasks, (443, 8443)) as probe, changed(tasks, "[airflow]", ports):
        tasks.apply()
        assert touched(tasks, before) == airflow
        assert open_ports(tasks.box.address) == [22, 8088, 8443]
        verified = tasks.cli("verify")
        assert verified.returncode == 0, verified.end
        assert f"{tasks.url}:8443" in tasks.cli("status").stdout
    probe.assert_unnoticed()
    assert_ran_once(nap)


@pytest.mark.parametrize("both", ["running", "stopped"])
def test_slots_that_an_interruption_left_behind_converge(tasks: Server, both: str) -> None:
    verb = "start" if both == "running" else "stop"
    tasks.ssh(f"systemctl {verb} airflow-api-server@a airflow-api-server@b")
    if both == "running":
        tasks.ssh(HUNG.format(spare=next(unit for unit in SLOTS if unit != tasks.api_server)))
    assert tasks.cli("plan").returncode == 2
    try:
        tasks.apply()
    finally:
        tasks.ssh(f"rm -rf {PATIENCE}; systemctl daemon-reload")
    assert tasks.ssh("systemctl list-units --failed --plain --no-legend") == ""
    wait_for(lambda: answers(tasks), "Airflow", 60)
    assert running(tasks).keys() & SLOTS == {tasks.api_server}
    plan = tasks.cli("plan")
    assert plan.returncode == 0, plan.end


def test_an_update_of_the_system_leaves_a_working_one(tasks: Server) -> None:
    postgres = [name for name in running(tasks) if name.startswith("postgresql@")]
    before, nap = running(tasks), tasks.nap(40).started()
    tasks.ssh(UPDATE)
    assert set(postgres) <= touched(tasks, before), "its package restarted it"
    assert nap.ended() == "success"
    print(f"\nthe task that ran took {nap.tries} tries; restarted: {touched(tasks, before)}")
    wait_for(lambda: answers(tasks), "Airflow", 60)
    assert tasks.nap(1).ended() == "success"
    # The scheduler of the task had lost its database; it starts anew after the task's end.
    wait_for(lambda: tasks.cli("plan").returncode == 0, "an empty plan", 90, 2)
    done = tasks.cli("verify")
    assert done.returncode == 0, done.end
