"""The watchdog's clocks: what it waits for passes by itself, not when somebody sets the time."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNIT = "airflow-triggerer.service"
SYSTEMCTL = """\
case "$*" in
*list-units*) ;;
*ActiveState*triggerer*) echo active ;;
*ActiveEnterTimestampMonotonic*) echo $ENTERED ;;
*MainPID*) echo $VICTIM ;;
*) echo inactive ;;
esac
"""


# No DAG is gone, and nothing shows life.
PSQL = """\
case "$*" in
*lost-runs.sql*) ;;
*) cat >/dev/null; echo 0 ;;
esac
"""


@pytest.fixture
def victim() -> Iterator["subprocess.Popen[bytes]"]:
    """A component that hangs."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def look(folder: Path, victim: "subprocess.Popen[bytes]", entered: int = 0) -> str:
    """One run of the watchdog, where systemd and PostgreSQL say that the triggerer is silent."""
    programs = {"systemctl": SYSTEMCTL, "psql": PSQL, "curl": "echo 1"}
    for name, text in programs.items():
        path = folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    environment = {
        "PATH": f"{folder}/bin:{os.environ['PATH']}",
        "RUNTIME_DIRECTORY": str(folder / "seen"),
        "VICTIM": str(victim.pid),
        "ENTERED": str(entered),
    }
    (folder / "seen").mkdir(exist_ok=True)
    words = ["sh", str(ROOT / "templates/airflow/watchdog.sh"), "60", "60", "300"]
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout


def test_a_clock_that_jumps_ends_no_grace(tmp_path, victim):
    assert look(tmp_path, victim) == ""
    noted = tmp_path / "seen" / UNIT
    assert abs(int(noted.read_text()) - time.monotonic()) < 5
    for jump in (-864_000, 864_000):  # the time was set by ten days
        os.utime(noted, (time.time() + jump,) * 2)
        assert look(tmp_path, victim) == ""
    assert victim.poll() is None
    noted.write_text(f"{int(time.monotonic()) - 70}\n")
    assert look(tmp_path, victim) == f"{UNIT} shows no life for 60 s: killing it\n"
    assert victim.wait(5) == -9


def test_what_has_just_started_is_left_alone(tmp_path, victim):
    noted = tmp_path / "seen" / UNIT
    noted.parent.mkdir()
    noted.write_text("0\n")
    assert look(tmp_path, victim, entered=time.monotonic_ns() // 1000 + 500_000_000) == ""
    assert not noted.exists()
