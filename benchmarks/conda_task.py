"""What a task that does nothing costs: ours, Airflow's external_python, a bare interpreter.

    AIRFLOW'S-PYTHON benchmarks/conda_task.py /opt/mlops/envs/MODEL/current [RUNS]

Only execute() is timed, the three in turn, so that a busy machine is busy for all of them.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

HOME = tempfile.TemporaryDirectory()
os.environ |= {"AIRFLOW_HOME": HOME.name, "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR"}


from airflow.providers.standard.operators.python import ExternalPythonOperator  # noqa: E402
from airflow.sdk import DAG  # noqa: E402
from airflow.sdk.bases.operator import ExecutorSafeguard  # noqa: E402
from mlops_airflow import CondaPythonOperator  # noqa: E402
from mlops_airflow.operators import CondaOperator  # noqa: E402
from mlops_server.layout import Layout  # noqa: E402


def nothing() -> None:
    """The task."""


def pretended(prefix: Path) -> Layout:
    """A layout where the environment is called bench."""
    layout = Layout(Path(HOME.name))
    folder = layout.envs / "bench"
    folder.mkdir(parents=True)
    (folder / "current").symlink_to(prefix.resolve())
    return layout


def candidates(prefix: Path) -> dict[str, Callable[[], Any]]:
    """What is compared, by name."""
    python = str(prefix / "bin/python")
    context: Any = {"ti": SimpleNamespace(dag_id="d", task_id="t", run_id="r", try_number=1)}
    CondaOperator.layout = pretended(prefix)
    with DAG("bench"):
        ours = CondaPythonOperator(task_id="ours", env="bench", python_callable=nothing)
        theirs = ExternalPythonOperator(
            task_id="theirs", python=python, python_callable=nothing, expect_airflow=False
        )
    return {
        "bare interpreter": lambda: subprocess.run([python, "-c", "pass"], check=True),
        "task.conda": lambda: ours.execute(dict(context)),
        "external_python": lambda: theirs.execute(dict(context)),
    }


def main(prefix: Path, runs: int) -> None:
    """Measure and print."""
    ExecutorSafeguard.test_mode = True
    compared = candidates(prefix)
    seconds: dict[str, list[float]] = {name: [] for name in compared}
    for run in range(runs + 1):
        for name, work in compared.items():
            start = time.perf_counter()
            work()
            if run:  # the first one warms up
                seconds[name].append(time.perf_counter() - start)
    print(f"{'':18}{'median ms':>10}{'min':>8}{'max':>8}   ({runs} runs)")
    for name, values in seconds.items():
        print(
            f"{name:18}{statistics.median(values) * 1000:10.1f}"
            f"{min(values) * 1000:8.1f}{max(values) * 1000:8.1f}"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 15)
