"""Upgrades: nothing lost, nothing run twice, nothing killed; and back by itself when it fails.

UPGRADES=all takes every pair of versions, FAULTS=all every fault.
"""

import os
import time
from collections.abc import Iterator

import faults
import load
import pytest
import shared
from faults import Death
from probe import Probe
from server import Done, Server, wait_for

pytestmark = [pytest.mark.box, pytest.mark.slow]

NEW, SAME = "3.3.2", "3.3.1"
ALL = os.environ.get("FAULTS") == "all"
PAIRS = ["3.2.2"] if ALL else ["3.1.8"]
if os.environ.get("UPGRADES") == "all":
    PAIRS = ["3.1.8", "3.2.2"]
ERRORS = list(faults.ERRORS) if ALL else ["the migration fails"]
DEATHS = faults.EVERY if ALL else [Death("installer", "starting")]


def configure(server: Server, version: str, timeout: int = 120) -> None:
    server.config.write_text(shared.config_of(version, timeout))


@pytest.fixture(scope="module", params=PAIRS)
def old(request: pytest.FixtureRequest, copies: shared.Copies) -> Iterator[Server]:
    """A server with the older version at work; its tests go from the faults to the upgrade."""
    server = copies.older(request.param)
    configure(server, request.param)
    load.add(server)
    server.version = request.param  # type: ignore[attr-defined]
    yield server
    copies.discard(request.param)


def settled(server: Server) -> None:
    """No upgrade is open any more."""
    path = f"{faults.FOLDER}/state.json"
    wait_for(lambda: server.try_ssh(f"test ! -e {path}").returncode == 0, "the way back", 300, 1)


def assert_as_before(server: Server, version: str, before: load.Memory) -> None:
    """The old version runs, all of it, without a further run, and knows everything."""
    settled(server)
    configure(server, version)
    wait_for(lambda: server.cli("plan").returncode == 0, "all of it to answer", 90, 2)
    verified = server.cli("verify")
    assert verified.returncode == 0, verified.end
    assert server.api("GET", "/api/v2/version", token="")["version"] == version
    load.assert_remembered(server, before)
    count = len(load.lines(server))
    wait_for(lambda: len(load.lines(server)) > count, "the load goes on", 60)


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_leads_back(old: Server, name: str) -> None:
    before = load.remember(old)
    configure(old, NEW)
    with faults.error(old, name) as words:
        done = old.cli("apply", "--yes")
        settled(old)
    assert done.returncode == 1, done.end
    assert words in done.output
    assert "upgrade.log" in done.output or name == "no room"
    assert_as_before(old, old.version, before)  # type: ignore[attr-defined]


@pytest.mark.parametrize("death", DEATHS, ids=lambda d: f"{d.who}-{d.point}".replace(" ", "-"))
def test_a_death_leads_back(old: Server, death: Death) -> None:
    before = load.remember(old)
    configure(old, NEW)
    run = faults.start(old)
    faults.follow(run, death.point)
    faults.DEATHS[death.who][0](old, run)
    began = time.monotonic()
    said = run.communicate(timeout=300)[0]
    settled(old)
    print(f"\n{death}: back after {time.monotonic() - began:.0f} s; it ended with {run.returncode}")
    assert run.returncode != 0, said
    assert_as_before(old, old.version, before)  # type: ignore[attr-defined]


@pytest.mark.skipif(not ALL, reason="`make faults` does it")
def test_tasks_that_outlast_the_time_are_named_and_nothing_is_stopped(old: Server) -> None:
    version = old.version  # type: ignore[attr-defined]
    units, before = old.units(), load.remember(old)
    configure(old, NEW, timeout=10)
    old.ssh(f"touch {load.HOLD}")
    longer = "select count(*) from task_instance where task_id = 'longer' and state = 'running'"
    # After a power cut there may be one more, which Airflow believes to run.
    wait_for(lambda: old.sql(longer) != "0", "the longer task", 60, 0.2)
    done = old.cli("apply", "--yes")
    assert done.returncode == 1, done.end
    assert "tasks outlast drain_timeout, so nothing was stopped" in done.output
    assert "still at work: load_long" in done.output
    old.ssh(f"rm {load.HOLD}")
    settled(old)
    assert old.units() == units
    assert_as_before(old, version, before)


def test_plan_names_the_upgrade(old: Server) -> None:
    configure(old, NEW)
    found = old.cli("plan", "--json").json["upgrade"]
    assert (found["from"], found["to"]) == (old.version, NEW)  # type: ignore[attr-defined]
    assert found["schema"] is True
    assert found["drain_timeout"] == 120
    assert "airflow-scheduler@1.service" in found["restarts"]
    text = old.cli("plan").output
    assert "the database schema changes" in text


def test_an_upgrade_loses_nothing(old: Server) -> None:
    before, generations = load.remember(old), "/opt/mlops/airflow"
    old.ssh(f"mkdir {generations}/older; touch -d 2020-01-01 {generations}/older/.ready")
    was = old.ssh(f"readlink {generations}/current")
    configure(old, NEW)
    done: Done = old.cli("apply", "--yes")
    assert done.returncode == 0, done.end
    kept = {was, old.ssh(f"readlink {generations}/current")}
    assert set(old.ssh(f"ls -d {generations}/*").split()) == {*kept, f"{generations}/current"}
    assert "is in force; down for" in done.output
    print("\n" + next(line for line in done.output.splitlines() if "down for" in line))
    count = len(load.lines(old))
    wait_for(lambda: len(load.lines(old)) > count, "the load goes on", 60)
    load.assert_remembered(old, before)
    load.assert_readable(old)
    load.stop(old)
    if not ALL:
        print(f"{load.assert_every_task_ran_once(old)} task instances, each ran once")
    plan = old.cli("plan")
    assert plan.returncode == 0, plan.end
    assert old.api("GET", "/api/v2/version", token="")["version"] == NEW


@pytest.mark.skipif(not PAIRS[1:], reason="`make upgrade-test` does it")
def test_a_rollback_brings_the_database_back(old: Server) -> None:
    """After the upgrade: what ran since is lost and counted; the config still wants the new one."""
    version = old.version  # type: ignore[attr-defined]
    done = old.cli("rollback", "--on", old.name, "--yes", target="airflow")
    assert done.returncode == 0, done.end
    assert "DAG runs among it" in done.output
    assert "plan` then shows the upgrade again" in done.output
    assert old.cli("plan", "--json").json["upgrade"]["to"] == NEW
    configure(old, version)
    verified = old.cli("verify")
    assert verified.returncode == 0, verified.end
    load.assert_readable(old)
    assert old.ssh(f"ls {faults.FOLDER}/*.dump").count(f"airflow-{NEW}-") == 1


@pytest.mark.skipif(not PAIRS[1:], reason="`make upgrade-test` does it")
def test_a_rolling_upgrade_interrupts_nothing(copies: shared.Copies) -> None:
    server = copies.older(SAME)
    load.add(server)
    try:
        configure(server, NEW)
        upgrade = server.cli("plan", "--json").json["upgrade"]
        assert (upgrade["from"], upgrade["to"], upgrade["schema"]) == (SAME, NEW, False)
        before = load.remember(server)
        with Probe(server) as probe:
            done = server.cli("apply", "--yes")
        assert done.returncode == 0, done.end
        probe.assert_unnoticed()
        load.assert_remembered(server, before)
        load.stop(server)
        print(f"{load.assert_every_task_ran_once(server)} task instances, each ran once")
        back = server.cli("rollback", "--on", server.name, "--yes", target="airflow")
        assert back.returncode == 0, back.end
        assert server.api("GET", "/api/v2/version", token="")["version"] == SAME
        for version in (NEW, SAME):  # by the config; both generations are there
            configure(server, version)
            assert server.cli("apply", "--yes").returncode == 0
            plan = server.cli("plan")
            assert plan.returncode == 0, plan.end
            assert server.api("GET", "/api/v2/version", token="")["version"] == version
    finally:
        copies.discard(SAME)
