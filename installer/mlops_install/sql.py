"""SQL on the server: shell text that asks PostgreSQL over its socket, and how answers are read.

What a program reads comes as JSON, one object in a line: no name or text in a row can pass for
another one.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_install.answer import ABSENT, Answer
from mlops_install.errors import HostError
from mlops_install.shell import as_user, sh

SOCKET = "/run/postgresql/.s.PGSQL.5432"
# Debian's psql is a wrapper in Perl that finds a version; starting it takes longer than to ask.
CLIENT = f"""\
for bin in /usr/lib/postgresql/*/bin; do [ ! -x "$bin/psql" ] || PATH=$bin:$PATH; done
command -v psql >/dev/null && [ -S {SOCKET} ] || exit {ABSENT}
"""


PSQL = ("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1")
MARK = "--"
"""Begins the line before the rows of a question; a row begins with a brace."""


def sql(*statements: str, user: str = "postgres", database: str = "postgres") -> str:
    """A psql command that runs the statements and prints bare values."""
    words = [word for statement in statements for word in ("-c", statement)]
    return as_user(user, *PSQL, "-d", database, *words)


def select(query: str, user: str = "postgres", database: str = "postgres") -> str:
    """A psql command that prints the rows of a query for `rows`."""
    return sql(f"select row_to_json(q) from ({query}) q", user=user, database=database)


@dataclass(frozen=True)
class Query:
    """A probe for `rows` that is asked with others in one session: a script for psql.

    Absent while there is no server, no such database, or no row.
    """

    script: str
    database: str = "postgres"

    def shell(self) -> str:
        """The question alone, as shell text."""
        return f"rows=$(\n{script([self])}\n) || exit\ngrep '^{{' <<< \"$rows\" || exit {ABSENT}"


def query(rows: str, database: str = "postgres") -> Query:
    """The question after the rows of one statement."""
    return Query(f"select row_to_json(q) from ({rows}) q;", database)


def script(questions: Sequence[Query]) -> str:
    """Shell text that answers all of them, each after a line with its number.

    psql stops at the first error.
    """
    if not questions:
        return "true"
    databases: dict[str, str] = {}
    for number, q in enumerate(questions):
        asked = f"\\echo {MARK} {number}\n{q.script}\n"
        databases[q.database] = databases.get(q.database, "") + asked
    sessions = "".join(_session(name, asked) for name, asked in databases.items())
    # runuser would open a session of PAM's, which takes as long as the questions.
    become = sh("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *PSQL)
    # psql's code for an error in a script is the one by which a probe says that nothing is there.
    return (
        f"{CLIENT}cd /; {become} -d postgres <<'MLOPS_SQL'\n{sessions}MLOPS_SQL\n"
        f"rc=$?; [ $rc != {ABSENT} ] || rc=1; exit $rc"
    )


def _session(database: str, asked: str) -> str:
    there = f"exists (select from pg_database where datname = {literal(database)})"
    return (
        f"select {there} as there \\gset\n\\if :there\n\\connect {database}\n{asked}"
        "\\connect postgres\n\\endif\n"
    )


def answers(questions: Sequence[Query], reply: Answer) -> Iterator[Answer]:
    """The reply to each question: its rows."""
    parts = f"\n{reply.text}".split(f"\n{MARK} ")[1:]
    found = {int(head): text for head, _, text in (part.partition("\n") for part in parts)}
    for number in range(len(questions)):
        text = found.get(number, "").strip()
        nothing = reply.code == 0 and not text
        yield Answer(text, ABSENT if nothing else reply.code, reply.error)


def rows(answer: str) -> list[dict[str, Any]]:
    """The rows in what psql printed, by the names of their columns. Raises `HostError`."""
    # Not splitlines(): JSON writes other ends of lines, such as U+2028, as they are.
    return [_row(line) for line in answer.split("\n") if line.strip()]


def _row(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise HostError(
            f"PostgreSQL's client printed {line[:80]!r}, which is not a row",
            fix="keep ~/.psqlrc and the login shell of its user from printing anything",
        )
    return found


def literal(text: str) -> str:
    """A text as SQL has it, whatever is in it."""
    return "'" + text.replace("'", "''") + "'"
