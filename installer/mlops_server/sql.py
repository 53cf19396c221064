"""SQL: the one place where the server's own programs speak to PostgreSQL.

Statements go over stdin, so nothing of them is too long for a command line or shows there. What a
program reads comes as JSON, one value in a line: no name or text in a row can pass for another one.

What is in a database belongs to its owner, who may have put code into its tables: casts, views,
triggers, expressions of indexes. It runs with the rights of whoever looks. So whoever looks is the
owner; the superuser enters only the database `postgres`, to make, drop and rename others.
"""

import os
import subprocess
from typing import Any

from mlops_server import jsontext
from mlops_server.errors import EnvError
from mlops_server.person import Person

ADMIN = SUPERUSER = "postgres"
"""The superuser, and the one database that it enters."""
OWNERS = {"airflow": "airflow", "workflows": "mlops-task"}
"""Database -> whose it is, with a system user of the same name. `airflow_proof` is as `airflow`."""
PSQL = ("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1")
LOG = "`journalctl -u 'postgresql@*'` tells more; then run the same command again"


def role(database: str) -> str:
    """Who enters a database."""
    if database == ADMIN:
        return SUPERUSER
    return OWNERS.get(database.partition("_")[0], OWNERS["airflow"])


def program(database: str, *words: str) -> dict[str, Any]:
    """What `subprocess` takes to run a program of PostgreSQL's in a database. Raises `EnvError`."""
    who = role(database)
    args = [*words, "-U", who, "-d", database]
    return {"args": args, "env": _environ(database), **_person(who).options()}


def _person(who: str) -> Person:
    """The system user that the socket knows a role by."""
    return Person.named(who)


def _environ(database: str) -> dict[str, str]:
    """Nothing that is secret; and no schema of others is looked into, whatever the settings are."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("PG")}
    schemas = "pg_catalog" if database == ADMIN else "public"  # behind pg_catalog, as always
    return kept | {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C.UTF-8",
        "PGOPTIONS": f"-c search_path={schemas}",
    }


def run(text: str, database: str = ADMIN, *, timeout: float | None = None) -> str:
    """Run SQL, statement by statement; what it printed. Raises `EnvError`."""
    try:
        done = subprocess.run(
            **program(database, *PSQL), input=text, capture_output=True, text=True,
            errors="replace", timeout=timeout, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise EnvError(f"psql -d {database}: no answer within {timeout:g} s", fix=LOG) from None
    if done.returncode:
        raise EnvError(f"psql -d {database} failed", detail=done.stderr, fix=LOG)
    return str(done.stdout)


def rows(
    query: str, database: str = ADMIN, *, timeout: float | None = None
) -> list[dict[str, Any]]:
    """The rows of a query by the names of their columns. Raises `EnvError`."""
    said = run(f"select row_to_json(q) from (\n{query}\n) q", database, timeout=timeout)
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
