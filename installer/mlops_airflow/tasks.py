"""The runner: it runs tasks as a user that has nothing of Airflow's.

systemd starts one beside each scheduler, as `python -P -m mlops_airflow.airflow tasks`, and holds
the socket: only schedulers may connect to it, and no task can take its place. Each workload gets
a process, forked from one that has already imported what every task needs. That one never reads a
workload, so no token of another task is in the memory that a task inherits.
"""

import gc
import importlib
import inspect
import json
import os
import socket
import socketserver
from contextlib import nullcontext, suppress
from types import SimpleNamespace
from typing import Any

from mlops_airflow import runner, secretnames

LISTENING = 3
"""The first descriptor that systemd hands over (sd_listen_fds)."""
NEEDED = (
    # What a task imports before its own code, in the versions that have it.
    *("airflow.sdk.execution_time.supervisor", "airflow.sdk.execution_time.task_runner"),
    *("airflow.executors.local_executor", "airflow.executors.workloads"),
    *("airflow.sdk.definitions.decorators", "airflow.dag_processing.dagbag"),
    *("airflow.dag_processing.bundles.manager", "airflow.providers.standard.operators.bash"),
    *("airflow.providers.standard.operators.python", "airflow.providers.common.io.xcom.backend"),
    *("airflow.providers.standard.decorators.bash", "airflow.serialization.serialized_objects"),
    *("mlops_airflow.operators", "mlops_airflow.decorators", "mlops_airflow.bundle"),
    *("httpx", "structlog.dev", "pendulum", "jinja2.sandbox"),
)


class Runner(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    """Forks a process for each connection of the scheduler."""

    max_children = 10_000  # the scheduler counts its slots
    block_on_close = False


class Workload(socketserver.StreamRequestHandler):
    """One workload, in a process of its own: Airflow's supervisor of it."""

    server: Runner

    def handle(self) -> None:
        """Read it, run it to its end, and say how that was."""
        self.server.socket.close()
        gc.enable()
        _mask()
        line = self.rfile.readline()
        # The task's process is forked from this one; it has nothing to say to the scheduler.
        os.register_at_fork(after_in_child=self.connection.close)
        work(line, self.tell)
        # Whoever else has the connection, the scheduler sees its end now.
        self.connection.shutdown(socket.SHUT_RDWR)

    def tell(self, said: tuple[Any, Any, Any]) -> None:
        """A state, as LocalExecutor's worker puts it into its queue."""
        _, state, error = said
        reason = [f"{type(error).__name__}: {error}"] if error else []
        self.wfile.write(json.dumps([state, *reason]).encode() + b"\n")


def work(line: bytes, tell: Any) -> None:
    """Have Airflow's own worker run one workload, which then finds no other."""
    from airflow.executors import local_executor, workloads
    from pydantic import TypeAdapter

    waiting = [None, TypeAdapter(workloads.All).validate_json(line)]
    given = {
        "logger_name": "mlops_airflow.tasks",
        "input": SimpleNamespace(get=waiting.pop),
        "output": SimpleNamespace(put=tell),
        "unread_messages": _Count(),
    }
    if "team_conf" in inspect.signature(local_executor._run_worker).parameters:
        from airflow.executors.base_executor import ExecutorConf

        given["team_conf"] = ExecutorConf()
    local_executor._run_worker(**given)


class _Count(nullcontext[None]):
    """The number of workloads in the queue, which nobody reads."""

    value = 0


def serve() -> None:
    """Run what the scheduler sends, until systemd says stop."""
    runner._prctl(runner.PR_SET_DUMPABLE, 0)  # tasks have this user: they must not look inside
    for module in NEEDED:
        with suppress(ImportError):
            importlib.import_module(module)
    _quiet()
    gc.collect()
    gc.freeze()  # a process shares this memory until it writes there, and collecting writes
    gc.disable()
    server = Runner("", Workload, bind_and_activate=False)
    server.socket.close()
    server.socket = socket.socket(fileno=LISTENING)
    server.serve_forever()


def _mask() -> None:
    """A secret that came into the config since the runner started is masked, too."""
    from airflow import settings

    secretnames.tell(os.environ)
    configure = getattr(settings, "_configure_secrets_masker", None)
    if configure:
        configure()


def _quiet() -> None:
    """Output of tasks goes to their logs, where secrets are masked, and nowhere else."""
    from airflow.sdk.execution_time.supervisor import WatchedSubprocess

    if hasattr(WatchedSubprocess, "_get_target_loggers"):
        WatchedSubprocess._get_target_loggers = lambda self: (self.process_log,)
