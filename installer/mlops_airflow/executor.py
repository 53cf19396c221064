"""Airflow's LocalExecutor with tasks that run as a user of their own; `tasks.py` is that side.

Each workload gets a connection to the runner of this scheduler. It ends with the workload, so
there are no idle workers, and nothing to wait for but what runs.
"""

import json
import os
import selectors
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from airflow.executors import local_executor

from mlops_airflow import workload

PATIENCE = 30
"""Seconds for handing a workload over; it waits in the socket while the runner starts anew."""
MOST = 1 << 16


@dataclass
class Running:
    """A workload that the runner has, and what it said so far."""

    workload: Any
    said: bytes = b""


class LocalExecutor(local_executor.LocalExecutor):
    """Hands workloads to the runner, and hears how they ended.

    Nothing that comes back is trusted: it may come from a task.
    """

    def start(self) -> None:
        """Nothing runs yet. The socket's address is in MLOPS_TASKS."""
        self._runner = os.environ["MLOPS_TASKS"]
        self._running = selectors.DefaultSelector()

    def _process_workloads(self, workload_list: Iterable[Any]) -> None:
        for one in workload_list:
            self._forget(one)
            try:
                connection = self._hand_over(one)
            except OSError as error:
                self._ended(one, f"{self._runner}: {error}")
            else:
                self._running.register(connection, selectors.EVENT_READ, Running(one))

    def _forget(self, one: Any) -> None:
        """It stands in one of the queues; older versions of Airflow have fewer."""
        for name in ("queued_tasks", "queued_callbacks", "queued_connection_tests"):
            getattr(self, name, {}).pop(workload.key(one), None)

    def _hand_over(self, one: Any) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(PATIENCE)
            connection.connect(self._runner)
            connection.sendall(one.model_dump_json().encode() + b"\n")
            connection.setblocking(False)
        except OSError:
            connection.close()
            raise
        return connection

    def sync(self) -> None:
        """Take what the runner said since; the scheduler calls this all the time."""
        self._read(0)

    def _read(self, seconds: float | None) -> None:
        for ready, _ in self._running.select(seconds):
            self._take(ready.fileobj, ready.data)

    def _take(self, connection: Any, running: Running) -> None:
        try:
            data = connection.recv(MOST)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        running.said = (running.said + data)[-MOST:]
        if not data:
            self._running.unregister(connection)
            connection.close()
            if not self._is_at_work(workload.key(running.workload)):
                why = "its process ended before it could say how"
                self._ended(running.workload, why, running.said)
        elif state := workload.began(running.workload, _last(running.said)):
            self.change_state(workload.key(running.workload), state, remove_running=False)

    def _is_at_work(self, key: Any) -> bool:
        """Whether a task that was deferred is back already, before its first process has ended.

        That end, told now, would be taken for the end of the second one.
        """
        others = self._running.get_map().values()
        return any(workload.key(other.data.workload) == key for other in others)

    def _ended(self, one: Any, why: str, said: bytes = b"") -> None:
        state, reason = workload.ended(one, _last(said), why)
        if reason:
            self.log.error("%s: %s", workload.key(one), reason)
        self.change_state(workload.key(one), state, reason)

    def end(self) -> None:
        """Wait for all that runs."""
        self.log.info("Waiting for running tasks to finish")
        while self._running.get_map():
            self._read(None)

    def terminate(self) -> None:
        """What runs dies with the runner, which systemd stops after the scheduler."""


def _last(said: bytes) -> list[Any]:
    """What the last whole line says: a state, and a reason where it failed."""
    line = said.rpartition(b"\n")[0].rpartition(b"\n")[2]
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return []
    return found if isinstance(found, list) else []
