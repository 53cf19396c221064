"""Airflow's units: stopped in order for a restore, started again after it."""

import subprocess
from collections.abc import Callable

from mlops_server.errors import EnvError

SCHEDULERS = "airflow-scheduler@*"
FIRST = ("airflow-watchdog.timer", "airflow-watchdog.service", "mlops-door.socket", "mlops-door@*")


def running() -> list[str]:
    """The units that use the database, as far as they run."""
    shown = _systemctl("list-units", "--plain", "--no-legend", "--state=active,activating",
                       "airflow*", "mlops-door.socket")  # fmt: skip
    names = [line.split()[0] for line in shown.splitlines() if line.split()]
    return [name for name in names if not name.endswith(".slice") and "watchdog.serv" not in name]


def stop(drain: int, say: Callable[[str], None]) -> None:
    """Stop them: schedulers first, and what they run after `drain` seconds. Raises `EnvError`."""
    _systemctl("stop", *FIRST)
    try:
        _systemctl("stop", SCHEDULERS, timeout=drain)
    except subprocess.TimeoutExpired:
        say(f"after {drain} s tasks still run: they are killed")
        _systemctl("kill", "--signal=KILL", SCHEDULERS)
    _systemctl("stop", SCHEDULERS)
    _systemctl("stop", "airflow.target", "airflow-*")


def start(names: list[str]) -> None:
    """Start them again. Raises `EnvError`."""
    if names:
        _systemctl("start", *names)


def reload_proxy() -> None:
    """Let nginx read its certificate again, if it runs."""
    _systemctl("try-reload-or-restart", "nginx.service")


def _systemctl(*words: str, timeout: float | None = None) -> str:
    done = subprocess.run(
        ["systemctl", *words], capture_output=True, text=True, timeout=timeout, check=False
    )
    if done.returncode:
        raise EnvError(
            f"systemctl {' '.join(words)} failed",
            detail=done.stderr.strip(),
            fix="`systemctl --failed` and `journalctl -p err -n 50` tell more",
        )
    return done.stdout
