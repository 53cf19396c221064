"""Airflow finds the provider by the two metadata files, and nothing of it needs Airflow."""

import importlib
import importlib.metadata
import subprocess
import sys

import mlops_airflow
import mlops_install
from mlops_airflow import metadata


def test_the_files_make_a_distribution(tmp_path):
    for path, text in metadata.files().items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    found = next(importlib.metadata.distributions(path=[str(tmp_path)]))
    assert (found.name, found.version) == ("mlops-airflow", mlops_airflow.__version__)
    (entry,) = found.entry_points
    assert entry.group == "apache_airflow_provider"
    info = entry.load()()
    assert info["package-name"] == found.name
    assert info["task-decorators"][0]["name"] == "conda"


def test_the_version_is_that_of_the_installer():
    assert mlops_airflow.__version__ == mlops_install.__version__


def test_the_package_imports_without_airflow():
    modules = "metadata, environments, functions, process, runner"
    code = f"import sys; from mlops_airflow import {modules}; assert 'airflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
