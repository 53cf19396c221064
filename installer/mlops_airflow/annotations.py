"""Annotations of a function that travels: those that name what it cannot see. Without Airflow.

The names of the DAG file do not exist where the function runs. An annotation with such a name
becomes a text; all others stay what they are, since dataclasses, pydantic and others look at them.
"""

import __future__

import ast
import builtins
from collections.abc import Iterator
from types import FunctionType

FLAG = __future__.annotations.compiler_flag


def flags(function: FunctionType) -> int:
    """What `from __future__ import annotations` in its file means for the compiler."""
    return function.__code__.co_flags & FLAG


def as_texts(source: str) -> str:
    """The source of a function, every line in its place, with texts for such annotations."""
    indented = source[:1].isspace()
    lines = source.encode().splitlines(keepends=True)  # ast counts bytes
    for one in sorted(_foreign(source, indented), key=_place, reverse=True):
        first, last = one.lineno - 1 - indented, (one.end_lineno or 0) - 1 - indented
        before, after = lines[first][: one.col_offset], lines[last][one.end_col_offset :]
        text = repr(ast.unparse(one)).encode()
        more = b"\n" * (last - first)
        lines[first : last + 1] = (before + b"(" + text + more + b")" + after).splitlines(True)
    return b"".join(lines).decode()


def _place(one: ast.expr) -> tuple[int, int]:
    return one.lineno, one.col_offset


def _foreign(source: str, indented: bool) -> list[ast.expr]:
    """The function's own annotations, and others with names that it does not bring itself."""
    tree = ast.parse("if 1:\n" + source if indented else source)
    top = next(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    known = set(_bound(top)) | set(dir(builtins))
    own = {id(one) for one in _of(top)}
    found = (one for node in ast.walk(top) for one in _of(node))
    return [one for one in found if id(one) in own or not _names(one) <= known]


def _of(node: ast.AST) -> Iterator[ast.expr]:
    """The annotations that belong to a node: a function's, or that of an assignment."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        given = node.args
        every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
        yield from (one.annotation for one in every if one and one.annotation)
        if node.returns:
            yield node.returns
    elif isinstance(node, ast.AnnAssign):
        yield node.annotation


def _names(annotation: ast.expr) -> set[str]:
    return {node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)}


def _bound(function: ast.AST) -> Iterator[str]:
    """The names that the function itself brings."""
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]
