"""The units of Airflow: which run, stop them in order, start them, and wait for an answer."""

import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

from mlops_server import database, sql
from mlops_server.errors import EnvError
from mlops_server.systemctl import systemctl
from mlops_server.upgrade.state import Say

ORDER = ("watchdog", "scheduler", "tasks", "triggerer", "dag-processor", "api-server")
GUARD = "mlops-upgrade-guard.service"
VERSION = "http://127.0.0.1:8080/api/v2/version"
HEARTBEATS = """\
select distinct coalesce(nullif(job_type, 'SchedulerJob'), split_part(hostname, '.', 1)) as name
  from job where state = 'running' and id > {last}"""
LAST_JOB = "select coalesce(max(id), 0) as last from job"
SLICE = "sys/fs/cgroup/airflow.slice"


def running() -> list[str]:
    """Airflow's units that are active, in the order in which they are to be stopped."""
    words = ("list-units", "--plain", "--no-legend", "--state=active,activating", "airflow*")
    units = [line.split()[0] for line in systemctl(*words).splitlines()]
    units = [u for u in units if not u.endswith(".slice") and u != "airflow-watchdog.service"]
    return sorted(units, key=lambda unit: (_rank(unit), unit))


def _rank(unit: str) -> int:
    return next((n for n, part in enumerate(ORDER) if f"-{part}" in unit), len(ORDER))


def stop(say: Say, *, kill: bool = False) -> float:
    """Stop everything of Airflow, one kind after another; when the API server was told to stop.

    `kill` does not wait for tasks: they are started again when schedulers run again. Raises
    `EnvError` when a process is left.
    """
    at = time.time()
    for part in ORDER:
        units = [u for u in running() if f"-{part}" in u]
        if part == "watchdog":
            units.append("airflow-watchdog.service")
        if part == "api-server":
            at = time.time()
        if units:
            _stop(units, kill=kill and part == "scheduler")
            say(f"stopped {', '.join(units)}")
    # Who ran their tasks stops after the schedulers, and nobody has waited for that.
    systemctl("stop", "airflow.target", "airflow-tasks@*")
    _empty(Path("/") / SLICE)
    return at


def _stop(units: list[str], *, kill: bool) -> None:
    if kill:
        systemctl("stop", "--no-block", *units)
        for unit in units:
            with suppress(EnvError):  # it may be gone already
                systemctl("kill", "--signal=KILL", unit)
    systemctl("stop", *units)


def _empty(cgroup: Path) -> None:
    left = [p for path in cgroup.rglob("cgroup.procs") for p in path.read_text().split()]
    if left:
        raise EnvError(
            f"processes of Airflow are left: {', '.join(left)}",
            fix="`systemd-cgls` shows where they are; end them, then run the same command again",
        )


def start(units: list[str], say: Say) -> None:
    """Have exactly these of Airflow's units run, from the files as they are now."""
    systemctl("daemon-reload")
    unwanted = sorted(set(running()) - set(units))
    if unwanted:
        systemctl("stop", *unwanted)
    with suppress(EnvError):  # none of them failed
        systemctl("reset-failed", *units)
    systemctl("start", *units)
    say(f"started {', '.join(units)}")


def restart_proxy() -> None:
    """Start nginx anew from its files."""
    systemctl("daemon-reload")
    systemctl("restart", "nginx.service")


def answers() -> bool:
    """Whether the API server answers on the loopback."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with suppress(OSError), opener.open(VERSION, timeout=5) as answer:
        return bool(answer.status == 200)
    return False


def last_job() -> int:
    """The number of the component that was started last; the clock may be set meanwhile."""
    return int(sql.rows(LAST_JOB, database.NAME)[0]["last"])


def wait(units: list[str], last: int, timeout: float) -> str:
    """Wait until everything that was started after `last` shows life; what does not at last."""
    wanted = {
        f"scheduler-{u.partition('@')[2].removesuffix('.service')}"
        for u in units if u.startswith("airflow-scheduler@")
    } | {"DagProcessorJob", "TriggererJob"}  # fmt: skip
    until, left = time.monotonic() + timeout, "Airflow"
    while time.monotonic() < until:
        query = HEARTBEATS.format(last=last)
        missing = wanted - {row["name"] for row in sql.rows(query, database.NAME)}
        missing |= set() if answers() else {"the API server"}
        if not missing:
            return ""
        left = ", ".join(sorted(missing))
        time.sleep(1)
    return left


def start_guard() -> None:
    """Start the guard, or let the one that runs go on."""
    systemctl("start", GUARD)
