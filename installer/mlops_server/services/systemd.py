"""Instances of services as units of systemd."""

import subprocess
from typing import Protocol

from mlops_server.errors import EnvError
from mlops_server.systemctl import checked

WAIT = 330  # seconds: more than TimeoutStopSec of the unit


class Supervisor(Protocol):
    """Starts and stops instances; systemd does, and the tests' own."""

    def start(self, instance: str) -> None:
        """Start an instance with its socket and wait until it is ready. Raises `EnvError`."""

    def keep(self, instance: str) -> None:
        """Have it started at boot."""

    def retire(self, instance: str) -> None:
        """Stop it for good: nobody gets in any more, whoever is in gets an answer."""

    def active(self, instance: str) -> bool:
        """Whether it runs."""

    def instances(self) -> list[str]:
        """The instances of all services that it knows, whether or not they have a record."""


class Systemd:
    """The units mlops-model@<instance>.socket and .service."""

    def start(self, instance: str) -> None:
        """Start an instance and wait for its READY=1. Raises `EnvError` with its last lines.

        How long that may take is systemd's business: model.toml and drop-ins tell it.
        """
        _systemctl("start", f"mlops-model@{instance}.socket")
        unit = f"mlops-model@{instance}.service"
        if _run("systemctl", "start", unit, wait=None).returncode:
            ended = _run("systemctl", "show", "-P", "Result", unit).stdout.strip()
            late = " in time: `start_timeout` in model.toml" if ended == "timeout" else ""
            raise EnvError(f"{instance} does not start{late}", detail=self._lines(instance))

    def keep(self, instance: str) -> None:
        """Start it at boot: the service too, so that the model is loaded before a request."""
        _systemctl("enable", "--quiet", *_units(instance))

    def retire(self, instance: str) -> None:
        """First the socket, or a request still in it would start the service again."""
        _systemctl("disable", "--quiet", *_units(instance))
        for unit in _units(instance):
            _systemctl("stop", unit)
        _run("systemctl", "reset-failed", *_units(instance))

    def active(self, instance: str) -> bool:
        """Whether the service runs."""
        return not _run("systemctl", "is-active", f"mlops-model@{instance}.service").returncode

    def instances(self) -> list[str]:
        """The instances whose socket or service is loaded."""
        words = ("list-units", "--all", "--plain", "--no-legend", "mlops-model@*")
        units = [line.split()[0] for line in _run("systemctl", *words).stdout.split("\n") if line]
        return sorted({unit.partition("@")[2].rpartition(".")[0] for unit in units})

    def _lines(self, instance: str) -> str:
        unit = f"mlops-model@{instance}.service"
        return _run("journalctl", "-q", "--no-pager", "-n20", "-ocat", "-u", unit).stdout


def _units(instance: str) -> tuple[str, str]:
    return f"mlops-model@{instance}.socket", f"mlops-model@{instance}.service"


def _systemctl(*words: str) -> None:
    checked(_run("systemctl", *words), words)


def _run(*words: str, wait: float | None = WAIT) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            words, capture_output=True, text=True, errors="replace", timeout=wait, check=False
        )
    except subprocess.TimeoutExpired:
        raise EnvError(f"`{' '.join(words)}` did not end within {wait:g} s") from None
