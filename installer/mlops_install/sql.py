"""SQL on the server: shell text that asks PostgreSQL over its socket, and how answers are read.

What a program reads comes as JSON, one object in a line: no name or text in a row can pass for
another one.
"""

import json
from typing import Any

from mlops_install.errors import HostError
from mlops_install.shell import as_user

ABSENT = 3
"""As in resource.py: there is no server, or no row."""
SOCKET = "/run/postgresql/.s.PGSQL.5432"
# Debian's psql is a wrapper in Perl that finds a version; starting it takes longer than to ask.
CLIENT = f"""\
for bin in /usr/lib/postgresql/*/bin; do [ ! -x "$bin/psql" ] || PATH=$bin:$PATH; done
command -v psql >/dev/null && [ -S {SOCKET} ] || exit {ABSENT}
"""


def sql(*statements: str, user: str = "postgres", database: str = "postgres") -> str:
    """A psql command that runs the statements and prints bare values."""
    words = [word for statement in statements for word in ("-c", statement)]
    base = ("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database)
    return as_user(user, *base, *words)


def select(query: str, user: str = "postgres", database: str = "postgres") -> str:
    """A psql command that prints the rows of a query for `rows`."""
    return sql(f"select row_to_json(q) from ({query}) q", user=user, database=database)


def ask_sql(query: str, user: str = "postgres", database: str = "postgres") -> str:
    """A probe for `rows`: absent while there is no server, or when the query has no row."""
    return (
        f"{CLIENT}"
        f"rows=$({select(query, user=user, database=database)}) || exit\n"
        f'[ -n "$rows" ] || exit {ABSENT}\nprintf "%s\\n" "$rows"'
    )


def rows(answer: str) -> list[dict[str, Any]]:
    """The rows in what psql printed, by the names of their columns. Raises `HostError`."""
    # Not splitlines(): JSON writes other ends of lines, such as U+2028, as they are.
    return [_row(line) for line in answer.split("\n") if line.strip()]


def _row(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise HostError(f"PostgreSQL's client printed {line[:80]!r}, which is no row")
    return found


def literal(text: str) -> str:
    """A text as SQL has it, whatever is in it."""
    return "'" + text.replace("'", "''") + "'"
