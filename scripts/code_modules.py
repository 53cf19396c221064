"""The files of the code, with what their names stand for; nothing of it is run."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = (
    "installer/mlops_install",
    "installer/mlops_server",
    "installer/mlops_airflow",
    "roles",
    "templates",
)
NOT_OURS = ("/starter_project/", "/__pycache__/")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def is_name(node: ast.AST | None, name: str) -> bool:
    """Whether an expression is this name."""
    return isinstance(node, ast.Name) and node.id == name


def pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """Names and what each of them gets by an assignment."""
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.IfExp):
        yield from (*pairs(target, value.body), *pairs(target, value.orelse))
    elif isinstance(target, ast.Tuple):
        whole = isinstance(value, ast.Tuple) and len(value.elts) == len(target.elts)
        for at, one in enumerate(target.elts):
            part = value.elts[at] if whole else ast.Subscript(value, ast.Constant(at))
            yield from pairs(one, part)


class Module:
    """One file of the code, with what its names stand for."""

    def __init__(self, path: Path) -> None:
        self.name = str(path.relative_to(ROOT))
        self.tree = ast.parse(_python(path))
        self.constants: dict[str, ast.expr] = {}
        self.functions: dict[str, list[Function]] = {}
        self.imported: dict[str, tuple[str, str]] = {}
        self.parents: dict[ast.AST, ast.AST] = {}
        for node in ast.walk(self.tree):
            self._take(node)
        for node in self.tree.body:
            if isinstance(node, ast.Assign):
                self.constants |= dict(pairs(node.targets[0], node.value))
            elif isinstance(node, ast.AnnAssign) and node.value:
                self.constants |= dict(pairs(node.target, node.value))

    def _take(self, node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            self.parents[child] = node
        if isinstance(node, Function):
            self.functions.setdefault(node.name, []).append(node)
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                self.imported[alias.asname or alias.name] = (node.module or "", alias.name)

    def around(self, node: ast.AST) -> Function | None:
        """The function that a node is in."""
        while node in self.parents:
            node = self.parents[node]
            if isinstance(node, Function):
                return node
        return None

    def has_property(self, name: str) -> bool:
        """Whether a class of this file has a property of this name."""
        found = self.functions.get(name, ())
        return any(is_name(word, "property") for one in found for word in one.decorator_list)


def _python(path: Path) -> str:
    """The text of a file of Python; of a template, what is put in is left out."""
    text = path.read_text()
    if path.suffix != ".j2":
        return text
    return re.sub(r"\{#.*?#\}", "", re.sub(r"\{\{.*?\}\}", "0", text), flags=re.DOTALL)


@cache
def modules() -> dict[str, Module]:
    """Every file of the code by the name that it is imported by."""
    found = {}
    for path in sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py*")):
        if path.name.endswith((".py", ".py.j2")) and not any(n in f"{path}" for n in NOT_OURS):
            dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[dotted.removeprefix("installer.").removesuffix(".__init__")] = Module(path)
    return found


@dataclass(frozen=True)
class Scope:
    """The code around an expression."""

    module: Module
    function: Function | None = None
    depth: int = 0

    def into(self, function: Function | None, module: Module | None = None) -> "Scope":
        """Another place of the code, one step further from where it began."""
        return Scope(module or self.module, function, self.depth + 1)
