"""What can be told without an environment and without Airflow; `pytest tests`."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODELS = sorted(path.parent for path in ROOT.glob("models/*/environment.yml"))
DAGS = sorted(ROOT.glob("dags/*.py"))


@pytest.mark.parametrize("dag", DAGS, ids=lambda path: path.name)
def test_the_environments_of_the_tasks_are_there(dag):
    named = set(re.findall(r'env="([\w-]+)"', dag.read_text()))
    assert named <= {model.name for model in MODELS}


@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.name)
def test_every_model_has_a_lock_and_tests(model):
    assert (model / "conda-lock.yml").exists(), "run `mlops-install lock` and add the file"
    assert list(model.glob("tests/test_*.py"))


@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.name)
def test_a_service_has_the_two_functions_that_the_server_calls(model):
    if not (model / "service.py").exists():
        pytest.skip("no service")
    tree = ast.parse((model / "service.py").read_text())
    found = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert len(found["load"].args.args) == 1
    assert len(found["predict"].args.args) == 2
