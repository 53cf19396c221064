"""Processes that end with the run that started them."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path


class Stopped(Exception):  # noqa: N818 - reads as what happened
    """The run was stopped: nothing is to be written any more."""


class Children:
    """Runs processes, in several threads, until it is stopped."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def run(self, words: Sequence[str], folder: Path, env: Mapping[str, str]) -> tuple[int, str]:
        """Exit code and output of a command. Raises `Stopped`."""
        with self._lock:
            self.go_on()
            process = subprocess.Popen(
                words,
                cwd=folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            self._running.add(process)
        output, _ = process.communicate()
        with self._lock:
            self._running.discard(process)
            self.go_on()
        return process.returncode, output

    def go_on(self) -> None:
        """Raise `Stopped` when the run was stopped."""
        if self._stopped:
            raise Stopped

    def stop(self) -> None:
        """End all processes, with those that they started."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
