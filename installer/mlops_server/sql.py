"""SQL: the one place where the server's own programs speak to PostgreSQL by psql.

Statements go over stdin, so nothing of them is too long for a command line or shows there. What a
program reads comes as JSON, one value in a line: no name or text in a row can pass for another one.
"""

import os
import subprocess
from typing import Any

from mlops_server import jsontext
from mlops_server.errors import EnvError

PSQL = ("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1")
LOG = "`journalctl -u 'postgresql@*'` tells more; then run the same command again"


def run(
    text: str,
    database: str = "postgres",
    *,
    user: str = "postgres",
    timeout: float | None = None,
) -> str:
    """Run SQL, statement by statement; what it printed. Raises `EnvError`."""
    try:
        done = subprocess.run(
            as_user(user, *PSQL, "-d", database),
            input=text, capture_output=True, text=True, errors="replace",
            cwd="/", env=environ(), timeout=timeout, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise EnvError(f"psql -d {database}: no answer within {timeout:g} s", fix=LOG) from None
    if done.returncode:
        raise EnvError(f"psql -d {database} failed", detail=done.stderr, fix=LOG)
    return done.stdout


def rows(
    query: str,
    database: str = "postgres",
    *,
    user: str = "postgres",
    timeout: float | None = None,
) -> list[dict[str, Any]]:
    """The rows of a query by the names of their columns. Raises `EnvError`."""
    said = run(f"select row_to_json(q) from (\n{query}\n) q", database, user=user, timeout=timeout)
    return [jsontext.loads(line) for line in _lines(said)]


def values(text: str) -> list[Any]:
    """The JSON arrays among the lines that some SQL printed; anything else is none of ours."""
    found = []
    for line in _lines(text):
        if line.startswith("["):
            try:
                found.append(jsontext.loads(line))
            except ValueError as error:
                raise EnvError(f"psql printed {line[:80]!r}", fix=LOG) from error
    return found


def _lines(text: str) -> list[str]:
    """Not splitlines(): JSON writes other ends of lines, such as U+2028, as they are."""
    return [line for line in text.split("\n") if line]


def literal(text: str) -> str:
    """A text as SQL has it, whatever is in it."""
    return "'" + text.replace("'", "''") + "'"


def as_user(user: str, *words: str) -> list[str]:
    """A command of another user."""
    return ["runuser", "-u", user, "--", *words]


def environ() -> dict[str, str]:
    """What another user's program gets of our variables: nothing that is secret."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("PG")}
    return kept | {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}
