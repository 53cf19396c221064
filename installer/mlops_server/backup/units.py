"""Airflow's units: stopped in order for a restore, started again after it."""

import subprocess
from collections.abc import Callable

from mlops_server.systemctl import systemctl

SCHEDULERS = "airflow-scheduler@*"
FIRST = ("airflow-watchdog.timer", "airflow-watchdog.service", "mlops-door.socket", "mlops-door@*")


def running() -> list[str]:
    """The units that use the database, as far as they run."""
    shown = systemctl("list-units", "--plain", "--no-legend", "--state=active,activating",
                       "airflow*", "mlops-door.socket")  # fmt: skip
    names = [line.split()[0] for line in shown.splitlines() if line.split()]
    return [name for name in names if not name.endswith(".slice") and "watchdog.serv" not in name]


def stop(drain: int, say: Callable[[str], None]) -> None:
    """Stop them: schedulers first, and what they run after `drain` seconds. Raises `EnvError`."""
    systemctl("stop", *FIRST)
    try:
        systemctl("stop", SCHEDULERS, timeout=drain)
    except subprocess.TimeoutExpired:
        say(f"after {drain} s tasks still run: they are killed")
        systemctl("kill", "--signal=KILL", SCHEDULERS)
    systemctl("stop", SCHEDULERS)
    systemctl("stop", "airflow.target", "airflow-*")


def start(names: list[str]) -> None:
    """Start them again. Raises `EnvError`."""
    if names:
        systemctl("start", *names)


def reload_proxy() -> None:
    """Let nginx read its certificate again, if it runs."""
    systemctl("try-reload-or-restart", "nginx.service")
