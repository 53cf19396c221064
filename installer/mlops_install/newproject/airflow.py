"""The server's version of Airflow on this machine, and what it says about DAG files."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import mlops_airflow
from mlops_airflow import metadata

from mlops_install import locks, report
from mlops_install.digest import short
from mlops_install.newproject.environments import uv
from mlops_install.newproject.errors import CheckError

PYTHONS = ((3, 11), (3, 12), (3, 13))
SECONDS = 30


def python(work: Path, version: str) -> Path:
    """An interpreter with Airflow, made from the hash-pinned lock that the server is made from.

    `MLOPS_AIRFLOW_PYTHON` in the environment names one that is there. Raises `CheckError`.
    """
    if there := os.environ.get("MLOPS_AIRFLOW_PYTHON"):
        return Path(there)
    lock = locks.read(f"airflow-{version}.txt")
    folder = work / f"airflow-{version}-{short(lock)}"
    ready = folder / "ready"
    if not ready.exists():
        report.say(f"installing Airflow {version}")
        ours = sys.version_info[:2]
        wanted = sys.executable if ours in PYTHONS else "3.13"
        file = work / f"airflow-{version}.txt"
        work.mkdir(parents=True, exist_ok=True)
        file.write_text(lock)
        _uv("venv", "--clear", "--python", wanted, str(folder))
        target = str(folder / "bin/python")
        _uv("pip", "install", "--python", target, "--require-hashes", "-r", str(file))
        ready.touch()
    return folder / "bin/python"


def _uv(*words: str) -> None:
    if subprocess.run([uv(), *words, "--quiet"], check=False).returncode:
        raise CheckError(
            f"uv {words[0]} failed",
            fix="its lines stand above; an index or a proxy is set by UV_INDEX_URL and HTTPS_PROXY",
        )


def problems(python: Path, dags: Path, work: Path, models: Collection[str]) -> list[str]:
    """What is wrong with the DAG files, as lines; they are imported one by one."""
    for name, text in metadata.files().items():
        file = work / "provider" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    ours = Path(next(iter(mlops_airflow.__path__))).parent
    links = work / "provider"
    for package in ("mlops_airflow", "mlops_server"):
        link = links / package
        link.unlink(missing_ok=True)
        link.symlink_to(ours / package)
    asked = {"folders": [str(dags)], "seconds": SECONDS, "memory_mb": 2048}
    done = subprocess.run(
        [python, "-P", "-m", "mlops_server.workflows.gate_dags"],
        input=json.dumps(asked),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        env=_variables(work, links),
    )
    if done.returncode:
        raise CheckError(
            "Airflow does not start on this machine",
            detail=done.stdout,
            fix="remove the folder for environments, which is made again, and try once more",
        )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    return list(_judged([event for event in events if "end" in event], dags, models))


def _variables(work: Path, links: Path) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")}
    return clean | {"PYTHONPATH": str(links), "AIRFLOW_HOME": str(work / "airflow-home")}


def _judged(files: list[dict[str, Any]], dags: Path, models: Collection[str]) -> Iterator[str]:
    for file in files:
        name = Path(file["end"]).relative_to(dags.parent)
        if file["error"]:
            yield f"{name}: {file['error'].strip()}"
        for task in (task for dag in file["dags"] for task in dag["tasks"]):
            if task["env"] and task["env"] not in models:
                yield f"{name}: task {task['task']}: there is no models/{task['env']}"
    ids = Counter(dag["dag"] for file in files for dag in file["dags"])
    yield from (f"{dag}: {count} DAGs have this id" for dag, count in ids.items() if count > 1)
    report.say(f"{len(files)} DAG files, {len(ids)} DAGs")
