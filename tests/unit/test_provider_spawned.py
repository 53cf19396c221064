"""Processes that a plain task spawns: the launcher of Airflow, with a stand-in for Airflow."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "installer"
AIRFLOW = """
    import hashlib, importlib.util, sys

    def main():
        path, how = sys.argv[1:]
        name = f"unusual_prefix_{hashlib.sha1(path.encode()).hexdigest()}_my_dag"
        spec = importlib.util.spec_from_file_location(name, path)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.path.append(path.rpartition("/sub/")[0])
        print(module.task(how))
"""
DAG = """
    import concurrent.futures
    import multiprocessing

    {top}

    def double(number):
        return 2 * number

    def task(how):
        context = multiprocessing.get_context(how)
        with context.Pool(1) as pool:
            first = pool.map_async(double, [1, 2]).get(timeout=30)
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
            return first + list(pool.map(double, [3]))
"""


def run(tmp_path, how, top=""):
    """A task of a DAG file that begins with `top`."""
    dag = DAG.format(top=top)
    for name, text in (("airflow/__main__.py", AIRFLOW), ("dags/sub/my.dag.py", dag)):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(textwrap.dedent(text))
    return subprocess.run(
        [sys.executable, "-P", "-m", "mlops_airflow.airflow", tmp_path / "dags/sub/my.dag.py", how],
        env=os.environ | {"PYTHONPATH": f"{SOURCE}:{tmp_path}"},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("how", ["spawn", "forkserver"])
def test_a_process_that_a_task_spawns_calls_functions_of_the_dag_file(tmp_path, how):
    done = run(tmp_path, how)
    assert done.stdout == "[2, 4, 6]\n", done.stderr[-2000:]


def test_a_file_that_cannot_be_imported_again_fails_the_task(tmp_path):
    done = run(tmp_path, "spawn", "if multiprocessing.parent_process(): raise KeyError('price')")
    reason = "sub/my.dag.py cannot be imported by a new process: KeyError('price')"
    assert done.stderr.splitlines()[-1] == f"ImportError: {tmp_path}/dags/{reason}"


def test_a_new_process_can_read_the_address_that_keeps_tasks_from_the_database(
    tmp_path, monkeypatch
):
    name = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
    monkeypatch.setenv(name, "airflow-db-not-allowed:///")
    scheme = f'os.environ["{name}"].partition(":")[0]'
    top = f"import os; assert bool(multiprocessing.parent_process()) != ('-' in {scheme})"
    done = run(tmp_path, "spawn", top)
    assert done.stdout == "[2, 4, 6]\n", done.stderr[-2000:]
