"""The rules that keep the code small and each effect behind one door."""

import ast
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = [f"installer/{name}" for name in ("mlops_install", "mlops_server", "mlops_airflow")]
CODE = sorted(
    p
    for top in (*PACKAGES, "roles")
    for p in (ROOT / top).rglob("*.py")
    if not {"infra_tests", "starter_project", "templates"} & set(p.parts)
    and "mlops_install/roles" not in str(p)
)
TREES = {str(p.relative_to(ROOT)): ast.parse(p.read_text()) for p in CODE}
COMMAND_LINE = ("backupcli", "boxcli", "cli", "envcli", "options", "uninstallcli", "workflowscli")
DOORS = {  # what may be imported where, and nowhere else
    "fabric": {"installer/mlops_install/sshlogin.py"},
    "paramiko": {f"installer/mlops_install/{n}.py" for n in ("sshkeys", "sshlogin")},
    "jinja2": {"installer/mlops_install/render.py"},
    "rich": {"installer/mlops_install/report.py", "installer/mlops_install/progress.py"},
    "typer": {f"installer/mlops_install/{n}.py" for n in COMMAND_LINE},
    "airflow": {
        *(
            f"installer/mlops_airflow/{n}.py"
            for n in (
                *("airflow", "bundle", "callbacks", "decorators", "deploy", "executor"),
                *("logins", "objectstore", "tasks", "workload"),
            )
        ),
        "installer/mlops_airflow/operators.py",
        "installer/mlops_server/workflows/gate_dags.py",
    },
    "rattler": {
        "installer/mlops_install/condasolver.py",
        "installer/mlops_server/condapart.py",
        "installer/mlops_server/inside/fetch.py",
        "installer/mlops_server/inside/unpack.py",
    },
    "pytest": {"installer/mlops_install/verification.py"},
}
PURE = ("roles/", "installer/mlops_install/resources/")
IMPURE = {"subprocess", "socket", "os", "time", "random", "secrets", "datetime", "fabric"}


def imports(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def functions(tree: ast.Module) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def length(function: ast.FunctionDef) -> int:
    """Lines without the docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("library", DOORS)
def test_one_door_per_effect(library):
    users = {
        path
        for path, tree in TREES.items()
        if any(name.split(".")[0] == library for name in imports(tree))
    }
    assert users <= DOORS[library]


@pytest.mark.parametrize("path", [p for p in TREES if p.startswith(PURE)])
def test_roles_and_resources_do_nothing_themselves(path):
    assert not {name.split(".")[0] for name in imports(TREES[path])} & IMPURE


@pytest.mark.parametrize("path", [p for p in TREES if not p.endswith(("cli.py", "__main__.py"))])
def test_nothing_imports_the_command_line(path):
    assert "mlops_install.cli" not in imports(TREES[path])


@pytest.mark.parametrize("path", [p for p in TREES if "/resources/" in p])
def test_resources_know_nothing_of_engine_and_host(path):
    assert not imports(TREES[path]) & {"mlops_install.engine", "mlops_install.host"}


@pytest.mark.parametrize("path", TREES)
def test_files_and_functions_are_short(path):
    assert len((ROOT / path).read_text().splitlines()) <= 320
    long = [f.name for f in functions(TREES[path]) if length(f) > 40]
    assert not long


def test_the_median_function_is_under_ten_lines():
    assert statistics.median(length(f) for tree in TREES.values() for f in functions(tree)) < 10


@pytest.mark.parametrize("path", TREES)
def test_shipped_code_has_no_assert(path):
    assert not [node for node in ast.walk(TREES[path]) if isinstance(node, ast.Assert)]


@pytest.mark.parametrize("path", TREES)
def test_public_names_have_docstrings(path):
    tree = TREES[path]
    bare = [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert ast.get_docstring(tree), "the module has none"
    assert not bare


def test_there_is_no_package_named_installer():
    assert not (ROOT / "installer" / "__init__.py").exists()
