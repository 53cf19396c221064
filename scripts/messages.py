"""Everything that the product can say when something is wrong, with the fixes, from the code.

An error is a call of one of our classes of errors, or one of Python's that is raised here: its
words get into an error of ours, or into the log of a task.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from typing import Any

from code_modules import ROOT, Module, Scope, modules
from code_texts import argument, arguments, called, callers, fields, literal, marked, texts

ROOTS = {
    "MlopsError",
    "EnvError",
    "Flaw",
    "Wrong",
    "RefusedError",
    "DoorError",
    "MissingEnvironmentError",
}
PYTHONS = {"ValueError", "TypeError", "LookupError", "SystemExit", "OSError"}
AIRFLOWS = {"AirflowException", "AirflowFailException", "AirflowSkipException"}
REASONS = (
    "mlops_install/config.py:_problem",
    "mlops_install/texts.py:problem*",
    "mlops_install/wrongvalues.py:*",
    "mlops_server/workflows/gate.py:*",
    "mlops_server/workflows/gate_tests.py:*",
)
"""Functions that return what is wrong as texts."""
ENDS = re.compile(r"exit 1|return 1|>&2|fix: |end if")
ECHO = re.compile(
    r'\becho "?(?!fix:)([^"|;]*[a-z]{2} [^"|;]*?)(?:"|;|$)|raise exception \'([^\']+)\''
)
FIX = re.compile(r'\becho "?fix: ([^"$\n]+)')
CHECKS = ROOT / "tests/infra"


@dataclass(frozen=True)
class Said:
    """A text that people can meet, and its fixes. `where` is file:function."""

    text: str
    fixes: tuple[str, ...]
    where: str
    line: int


@cache
def found() -> tuple[Said, ...]:
    """Every error, in the order of files and lines."""
    places = (*errors(), *reasons(), *judges(), *last_words(), *shell())
    return tuple(sorted(places, key=lambda said: (said.where.partition(":")[0], said.line)))


# --- classes of errors --------------------------------------------------------------------


@cache
def classes() -> frozenset[str]:
    """The names of all classes of errors that are ours."""
    known = set(ROOTS)
    defined = [
        (node.name, {getattr(base, "id", "") for base in node.bases})
        for module in modules().values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
    ]
    for _ in defined:
        known |= {name for name, bases in defined if bases & known}
    return frozenset(known)


def errors() -> Iterator[Said]:
    """What errors are made with."""
    for module in modules().values():
        for node in ast.walk(module.tree):
            raised = isinstance(module.parents.get(node), ast.Raise)
            known = called(node) in classes() or (raised and called(node) in PYTHONS | AIRFLOWS)
            if known or _chosen(node, raised):
                yield from _error(module, node)


def _chosen(node: ast.AST, raised: bool) -> bool:
    """Whether the class is a variable or an expression: `(one if so else another)(text)`."""
    if not isinstance(node, ast.Call):
        return False
    either = raised and isinstance(node.func, ast.IfExp)
    return either or "fix" in {word.arg for word in node.keywords}


def _error(module: Module, call: ast.Call) -> Iterator[Said]:
    scope = Scope(module, module.around(call))
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    words = [a for a in call.args if not isinstance(getattr(a, "value", ""), int)]
    fix = keywords.get("fix", words[1] if called(call) == "Flaw" else None)
    message = words[0] if words else keywords.get("message")
    pairs = list(_handed(scope, message, fix)) or [(module, call, message, fix)]
    for where, node, message, fix in pairs:
        yield from _with_fixes(where, node, message, fix)


def _handed(scope: Scope, *names: ast.expr | None) -> Iterator[tuple[Any, ...]]:
    """Message and fix of each call of a function that makes an error of the two."""
    own = scope.function
    if own and all(isinstance(one, ast.Name) and one.id in arguments(own) for one in names):
        for module, call in callers(own, scope.module):
            yield module, call, *(argument(call, one.id, own) for one in names)


def _with_fixes(
    module: Module, call: ast.Call, message: ast.expr | None, fix: ast.expr | None
) -> Iterator[Said]:
    scope = Scope(module, module.around(call))
    fixes = tuple(text for text in texts(fix, scope) if text) if fix is not None else ()
    for text in texts(message, scope):
        yield Said(fields(text), fixes, _place(module, call), call.lineno)


def _place(module: Module, node: ast.AST) -> str:
    function = module.around(node)
    name = module.name.removeprefix("installer/")
    return f"{name}:{function.name if function else ''}"


# --- the rest -----------------------------------------------------------------------------


def reasons() -> Iterator[Said]:
    """Why the gate keeps a commit out, and what is wrong with the config."""
    for module in modules().values():
        for node in ast.walk(module.tree):
            if any(fnmatch(_place(module, node), name) for name in REASONS):
                for value in _reasons(node):
                    yield from _reason(module, node, value)


def judges() -> Iterator[Said]:
    """Why a text of the config is refused, by whoever judges it: `Judged("…", judge)`."""
    for module in modules().values():
        for node in ast.walk(module.tree):
            if called(node) == "Judged":
                judge = node.args[1]
                lambda_ = isinstance(judge, ast.Lambda)
                yield from _reason(module, node, judge.body if lambda_ else ast.Call(judge, [], []))


def _reason(module: Module, node: ast.AST, value: ast.expr) -> Iterator[Said]:
    for text in texts(value, Scope(module, module.around(node))):
        if re.search("[a-z]{2}.* ", literal(text)):
            yield Said(fields(text), (), _place(module, node), node.lineno)


def _reasons(node: ast.AST) -> list[ast.expr]:
    """The texts that a statement gives back, or adds to those that it will."""
    if isinstance(node, ast.Return | ast.Yield):
        if isinstance(node.value, ast.List):
            return node.value.elts
        if isinstance(node.value, ast.ListComp):
            return [node.value.elt]
        if isinstance(node.value, ast.Tuple):
            return [one for one in node.value.elts if not isinstance(one, ast.BinOp | ast.Starred)]
        return [] if node.value is None or isinstance(node.value, ast.BinOp) else [node.value]
    return node.args if isinstance(node, ast.Call) and called(node) == "append" else []


def last_words() -> Iterator[Said]:
    """What is said where no class of errors can be used."""
    for module in modules().values():
        for node in ast.walk(module.tree):
            if called(node) == "_say" and isinstance(node.args[0], ast.JoinedStr):
                for text in texts(node.args[0], Scope(module, module.around(node))):
                    if text.startswith("error: "):
                        message, _, fix = text.removeprefix("error: ").partition("\nfix: ")
                        fixes = (fix.strip(),) if fix else ()
                        yield Said(message, fixes, _place(module, node), node.lineno)


def shell() -> Iterator[Said]:
    """What scripts, and SQL, say on the server before they fail."""
    for where, first, text in scripts():
        lines = text.splitlines()
        for number, line in enumerate(lines):
            if ENDS.search(" ".join(lines[number : number + 3])):
                fixes = tuple(_shown(fix) for fix in FIX.findall("\n".join(lines[number:][:3])))
                for words in ECHO.findall(line):
                    yield Said(_shown(next(filter(None, words))), fixes, where, first + number)


def scripts() -> Iterator[tuple[str, int, str]]:
    """Place, line and text of what may be a script: templates, and texts in the code."""
    for path in sorted((ROOT / "templates").rglob("*")):
        if path.is_file() and path.suffix not in (".py", ".sql"):
            yield f"{path.relative_to(ROOT)}:", 1, path.read_text()
    for module in modules().values():
        if module.name.startswith(("installer/mlops_install", "roles")):
            for node in ast.walk(module.tree):
                inside = isinstance(module.parents.get(node), ast.JoinedStr | ast.FormattedValue)
                if isinstance(node, ast.JoinedStr | ast.Constant) and not inside:
                    text = next(iter(texts(node, Scope(module, module.around(node)))), "")
                    yield _place(module, node), node.lineno, text


def _shown(words: str) -> str:
    """Words of a shell's echo as people see them."""
    words = words.replace("$*", marked("words"))
    words = re.sub(r"\$\(cat (?:\S*/)?\W?(\w+)\W?[^)]*\)", lambda one: marked(one[1]), words)
    words = re.sub(r"\$\{?(\w+)\}?", lambda one: marked(one[1]), words)
    return re.sub(r"\{(\w+)\}", lambda one: marked(one[1]), words).strip()


# --- the checks of verify -----------------------------------------------------------------


@cache
def checks() -> dict[str, tuple[str, ...]]:
    """Each check as the table of `verify` names it -> what it can say."""
    found: dict[str, tuple[str, ...]] = {}
    for path in sorted(CHECKS.glob("test_*.py")):
        module = Module(path)
        role = path.stem.removeprefix("test_")
        for name, (function, *_) in module.functions.items():
            if name.startswith("test_"):
                words = name.removeprefix("test_").replace("_", " ")
                found[f"{role}: {words}"] = tuple(_asserted(module, function))
    return found


def _asserted(module: Module, function: ast.AST) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Assert) and node.msg is not None:
            for text in texts(node.msg, Scope(module, module.around(node))):
                if literal(text).strip(" :"):
                    yield text
