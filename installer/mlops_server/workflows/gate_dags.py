"""Import DAG files as the DAG processor does, each in a process of its own. Runs in Airflow's
interpreter: `python -P -m mlops_server.workflows.gate_dags`.

Reads {"folders": [...], "seconds": 20, "memory_mb": 1024} from stdin and writes lines of JSON:
{"begin": file} before, and {"end": file, "error": text or null, "dags": [...]} after each file.
The process that reports holds no code of the DAGs, so what one of them does - it ends the
interpreter, hangs, eats memory - is reported with the name of its file.
"""

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Work = Callable[[str], dict[str, Any]]
LINES = 6
OUTPUT = 16 << 20


@dataclass(frozen=True)
class Child:
    """A process that imports one file; it writes its result and its output to nameless files."""

    pid: int
    file: str
    result: int
    output: int
    until: float

    def kill(self) -> None:
        """End it, and what it started in its session."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def ended(self, status: int, late: float | None) -> dict[str, Any]:
        """What there is to say about it. `late`: the seconds that it was given in vain."""
        self.kill()
        result, output = (_content(self.result), _content(self.output))
        how = f"did not finish within {late:g} s" if late else _how(status)
        if not late and os.WIFEXITED(status) and result:
            return {"end": self.file, **json.loads(result)}
        tail = output.decode(errors="replace").strip().splitlines()[-LINES:]
        return {"end": self.file, "error": "\n".join([how, *tail]), "dags": []}


def _how(status: int) -> str:
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        return f"killed by {name}{' (out of memory?)' if name == 'SIGKILL' else ''}"
    return f"ended the interpreter with exit code {os.WEXITSTATUS(status)} while it was imported"


def _content(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as file:
        file.seek(0)
        return file.read(OUTPUT)


def start(file: str, work: Work, seconds: float, memory_mb: int) -> Child:
    """Fork a process that does the work for a file."""
    result, output = os.memfd_create("result"), os.memfd_create("output")
    pid = os.fork()
    if pid:
        return Child(pid, file, result, output, time.monotonic() + seconds)
    try:
        _settle(output, memory_mb)
        found = json.dumps(work(file)).encode()
        os.lseek(result, 0, os.SEEK_SET)
        os.ftruncate(result, 0)
        os.write(result, found)
    except BaseException as error:
        found = json.dumps({"error": f"{type(error).__name__}: {error}", "dags": []}).encode()
        os.write(result, found)
    finally:
        os._exit(0)


def _settle(output: int, memory_mb: int) -> None:
    """What a child gives up: our session, our descriptors, unlimited memory."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for kind, most in (
        (resource.RLIMIT_DATA, memory_mb << 20),
        (resource.RLIMIT_FSIZE, OUTPUT),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))
    # Airflow handles SIGSEGV in Python, which would fault for ever in the same place.
    handle = signal.signal
    signal.signal = lambda number, what: (  # type: ignore[assignment]
        signal.SIG_DFL if number == signal.SIGSEGV else handle(number, what)
    )


def each(
    files: list[str], work: Work, seconds: float, memory_mb: int, side_by_side: int
) -> Iterator[dict[str, Any]]:
    """Do the work for all files; the events in the order in which they happen."""
    waiting, running = list(files), list[Child]()
    while waiting or running:
        while waiting and len(running) < side_by_side:
            yield {"begin": waiting[0]}
            running.append(start(waiting.pop(0), work, seconds, memory_mb))
        for child in list(running):
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            late = time.monotonic() > child.until
            if not pid and late:
                child.kill()
                _, status = os.waitpid(child.pid, 0)
            if pid or late:
                running.remove(child)
                yield child.ended(status, seconds if late and not pid else None)
        time.sleep(0.01)


def _airflow(folder: str, seconds: float) -> None:
    """Make Airflow see this folder as its only one, and no database."""
    os.environ |= {
        "AIRFLOW__CORE__DAGS_FOLDER": folder,
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": f"{seconds:g}",
        "AIRFLOW__CORE__DAGBAG_IMPORT_ERROR_TRACEBACK_DEPTH": "4",
        "AIRFLOW__CORE__FERNET_KEY": "",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite:////nowhere/airflow.db",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": "sqlite+aiosqlite:////nowhere/airflow.db",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "CRITICAL",
    }


def _importing(folder: str) -> Work:
    """How the server's Airflow imports a file of a folder; loaded once, before any fork."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from mlops_airflow.operators import CondaOperator

    def work(file: str) -> dict[str, Any]:
        sys.path.append(folder)
        bag = DagBag(folder, collect_dags=False, bundle_path=Path(folder))
        dags = bag.process_file(file, only_if_updated=False, safe_mode=True)
        for dag in dags:
            LazyDeserializedDAG.from_dag(dag)
        error = "\n".join(bag.import_errors.values()) or None
        return {"error": error, "dags": [_facts(dag, CondaOperator) for dag in dags]}

    return work


def _facts(dag: Any, conda: type) -> dict[str, Any]:
    return {"dag": dag.dag_id, "tasks": [_task(task, conda) for task in dag.tasks]}


def _task(task: Any, conda: type) -> dict[str, Any]:
    given = getattr(task, "partial_kwargs", None)
    kind = type(task) if given is None else task.operator_class
    values = vars(task) if given is None else given
    runs_in = values.get("env") if isinstance(kind, type) and issubclass(kind, conda) else None
    return {
        "task": task.task_id,
        "pool": task.pool,
        "slots": getattr(task, "pool_slots", 1),
        "env": runs_in if isinstance(runs_in, str) else None,
        "connections": {
            name: value
            for name, value in values.items()
            if name.endswith("conn_id") and isinstance(value, str) and "{{" not in value
        },
    }


def _files(folder: str) -> list[str]:
    from airflow.dag_processing.importers import get_importer_registry

    return sorted(get_importer_registry().list_dag_files(folder, safe_mode=True))


def main() -> None:
    """Import the files of all folders and write what happens."""
    asked = json.load(sys.stdin)
    seconds = float(asked["seconds"])
    with os.fdopen(os.dup(1), "w") as out:  # ours alone: children write elsewhere
        for folder in asked["folders"]:
            _airflow(folder, seconds)
            work = _importing(folder)
            cores = max(2, len(os.sched_getaffinity(0)))
            # Airflow's own limit is the shorter one: its traceback shows the line.
            for event in each(_files(folder), work, seconds + 5, asked["memory_mb"], cores):
                out.write(json.dumps(event) + "\n")
                out.flush()


if __name__ == "__main__":
    main()
