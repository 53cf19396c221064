"""Killed at any moment, the installer carries on when it is run again.

CHAOS_SEED repeats a series of moments, CHAOS_ROUNDS sets how many there are, CHAOS_LONGEST the
latest one in seconds.
"""

import os
import random
import re
import signal
import time
from pathlib import Path

import channel
import project
import pytest
from mlops_install import box
from server import Server, add_tasks, wait_for

pytestmark = [pytest.mark.box, pytest.mark.slow]

SEED = int(os.environ["CHAOS_SEED"])
ROUNDS = int(os.environ.get("CHAOS_ROUNDS") or 2)
KINDS = ("installer", "connection", "server")
"""In turn; the third in `make chaos` only: here the power fails in initdb, and under tasks."""
LONGEST = float(os.environ.get("CHAOS_LONGEST") or 40)  # seconds; a cold run on a quiet machine
# The sshd processes of all logins but our own.
KILL_LOGINS = """
for p in /proc/[0-9]*; do
  case "$(tr '\\0' ' ' 2>/dev/null < $p/cmdline)" in
    sshd*@notty*) [ ${p#/proc/} = $PPID ] || kill -9 ${p#/proc/} ;;
  esac
done
"""


def rounds() -> list[object]:
    """Kind, moment and system of each round, from the seed."""
    chance = random.Random(SEED)
    systems = list(box.SYSTEMS)
    found = []
    for number in range(ROUNDS):
        moment = round(chance.uniform(0.5, LONGEST), 1)
        kind, system = KINDS[number % 3], systems[number % 2]
        found.append(
            pytest.param(system, kind, moment, id=f"{system}-{SEED}-{number}-{kind}-{moment}")
        )
    return found


@pytest.mark.usefixtures("computing")
@pytest.mark.parametrize(("system", "kind", "moment"), rounds())
def test_it_carries_on_when_it_was_killed(
    bare: Server, kind: str, moment: float, locked_project: Path, conda_forge: channel.Server
) -> None:
    bare.want(project.config(locked_project, conda_forge))
    first = bare.start("apply", "--yes", "--no-verify")
    time.sleep(moment)
    early = first.poll() is None
    if kind == "installer":
        first.send_signal(signal.SIGKILL)
    elif kind == "connection":
        bare.ssh(KILL_LOGINS)
    else:
        box.power_off(bare.name)
    said = first.communicate(timeout=120)[0].splitlines()
    if kind == "connection" and early:
        assert first.returncode == 1, said[-5:]
        assert any("the connection to" in line and "broke" in line for line in said), said[-5:]
    if kind == "server":
        box.up(bare.name, bare.box.system, ephemeral=True)
    stage = next(
        (line.strip() for line in reversed(said) if re.match(r" +[\d.]+s ", line)), "start"
    )
    again = bare.cli("apply", "--yes")
    print(
        f"\nseed {SEED}: {kind} killed after {moment} s ({'at work' if early else 'at its end'},"
        f" after `{stage}`); the next run took {again.seconds:.0f} s"
    )
    assert again.returncode == 0, again.end
    assert "checks ok" in again.output or "nothing to do" in again.output
    plan = bare.cli("plan")
    assert plan.returncode == 0, plan.end
    if "nothing to do" in again.output:
        verified = bare.cli("verify")
        assert verified.returncode == 0, verified.end


@pytest.mark.usefixtures("computing")
@pytest.mark.parametrize("system", ["debian-12"])
def test_a_cluster_of_which_half_was_made_is_made_anew(bare: Server) -> None:
    """The power fails in initdb."""
    first = bare.start("apply", "--yes", "--no-verify")
    bare.ssh("until ls /var/lib/postgresql/*/main/PG_VERSION; do sleep 0.02; done 2>/dev/null")
    box.power_off(bare.name)
    first.communicate(timeout=120)
    box.up(bare.name, bare.box.system, ephemeral=True)
    assert bare.ssh("ls /var/lib/mlops/made/postgres-half-made"), "it was in time"
    again = bare.cli("apply", "--yes")
    assert again.returncode == 0, again.end


@pytest.mark.parametrize("system", ["debian-12"])
def test_a_server_that_loses_power_at_work_comes_back(tasks: Server) -> None:
    """The whole box is gone while tasks run; they run again, without help."""
    naps = [tasks.nap(20).started() for _ in range(2)]
    box.power_off(tasks.name)
    box.up(tasks.name, tasks.box.system, ephemeral=True)
    add_tasks(tasks)
    for nap in naps:
        nap.started(times=2, timeout=120)
        assert nap.ended() == "success"
    wait_for(lambda: tasks.cli("plan").returncode == 0, "an empty plan", 60, 2)
