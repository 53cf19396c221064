"""SQL on the server: shell text that asks PostgreSQL over its socket, and how answers are read.

What a program reads comes as JSON, one object in a line: no name or text in a row can pass for
another one.

What is in a database belongs to its owner, who may have put code into its tables: casts, views,
triggers. It runs with the rights of whoever looks. So whoever looks is the owner; the superuser
enters only the database `postgres`. This is the only module here that speaks as one of them.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_install.answer import ABSENT, Answer
from mlops_install.errors import HostError
from mlops_install.shell import as_user, sh

SOCKETS = "/run/postgresql"
SOCKET = f"{SOCKETS}/.s.PGSQL.5432"
# Debian's psql is a wrapper in Perl that finds a version; starting it takes longer than to ask.
CLIENT = f"""\
for bin in /usr/lib/postgresql/*/bin; do [ ! -x "$bin/psql" ] || PATH=$bin:$PATH; done
command -v psql >/dev/null && [ -S {SOCKET} ] || exit {ABSENT}
"""
ADMIN = SUPERUSER = "postgres"
"""The superuser, and the one database that it enters."""
OWNERS = {"airflow": "airflow", "workflows": "mlops-task"}
"""Database -> whose it is, with a system user of the same name. `airflow_proof` is as `airflow`."""
PATIENCE = "60s"
"""How long a question may take: who owns a table may lock it, for as long as they like."""
PSQL = ("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1")
MARK = "--"
"""Begins the line before the rows of a question; a row begins with a brace."""
ENTERED = "entered"
"""Begins the line that tells of a database that its owner may enter."""


def psql(database: str = ADMIN, who: str = "") -> str:
    """psql in a database, for more words or a script; no schema of others is looked into."""
    return program(database, *PSQL, who=who)


def role(database: str) -> str:
    """Who enters a database."""
    if database == ADMIN:
        return SUPERUSER
    return OWNERS.get(database.partition("_")[0], OWNERS["airflow"])


def dump(database: str) -> str:
    """pg_dump of a database, as its owner, in the custom format."""
    return program(database, "pg_dump", "-Fc", "--lock-wait-timeout=10min")


def read_dump(database: str) -> str:
    """Shell text that reads a dump on stdin to its end, as the owner of what is in it."""
    return as_user(role(database), "pg_restore", "-f", "/dev/null")


def program(database: str, *words: str, who: str = "") -> str:
    """A program of PostgreSQL's in a database, as who may enter it; `who` else, an owner too."""
    who = who or role(database)
    name = database.replace("\\", r"\\").replace("'", r"\'")
    at = f"host={SOCKETS} user={who} dbname='{name}' options='{_options(database)}'"
    return as_user(who, *words, "-d", at)


def _options(database: str) -> str:
    """Settings of the session, whatever those of its database and role are."""
    if database == ADMIN:
        return "-c search_path=pg_catalog"
    return f"-c search_path=public -c statement_timeout={PATIENCE}"  # pg_catalog comes before it


def sql(*statements: str, database: str = ADMIN, who: str = "") -> str:
    """A psql command that runs the statements and prints bare values."""
    return f"{psql(database, who)} {sh(*(word for one in statements for word in ('-c', one)))}"


def select(query: str, database: str = ADMIN) -> str:
    """A psql command that prints the rows of a query for `rows`."""
    return sql(f"select row_to_json(q) from ({query}) q", database=database)


@dataclass(frozen=True)
class Query:
    """A probe for `rows` that is asked with others in one session: a script for psql.

    Absent while there is no server, no such database, or no row.
    """

    script: str
    database: str = ADMIN

    def shell(self) -> str:
        """The question alone, as shell text."""
        asked = f"answer=$(\n{script([self])}\n) || exit"
        start = f"{self.database} {{"
        return (
            f"{asked}\ngrep '^{start}' <<< \"$answer\" | cut -c {len(start)}-\n"
            f"[ ${{PIPESTATUS[0]}} = 0 ] || exit {ABSENT}"
        )


def query(rows: str, database: str = ADMIN) -> Query:
    """The question after the rows of one statement."""
    return Query(f"select row_to_json(q) from ({rows}) q;", database)


def script(questions: Sequence[Query]) -> str:
    """Shell text that answers all of them, one session a database.

    Each answer comes after a line with its number, and each line after the name of its database:
    what the code in one prints is no answer of another. psql stops at the first error.
    """
    if not questions:
        return "true"
    asked: dict[str, str] = {ADMIN: ""}
    for number, q in enumerate(questions):
        asked[q.database] = asked.get(q.database, "") + f"\\echo {MARK} {number}\n{q.script}\n"
    others = [database for database in asked if database != ADMIN]
    asked[ADMIN] += f"\\echo {MARK} {ENTERED}\n"
    asked[ADMIN] += "".join(f"{_may_enter(database)};\n" for database in others)
    sessions = [_session(ADMIN, asked[ADMIN]), "may=$'\\n'$said$'\\n'"]
    for database in others:
        entered = f"*$'\\n{ENTERED} {database}\\n'*"
        who = role(database)
        known = f"[ ~{who} = '~{who}' ]"  # as a word, while there is no system user
        session = _session(database, asked[database])
        sessions.append(f"{known} || case $may in {entered})\n{session};; esac")
    # psql's code for an error in a script is the one by which a probe says that nothing is there.
    return (
        f"{CLIENT}cd /\n"
        f"told() {{ [ -z \"$said\" ] || printf '%s\\n' \"$1 ${{said//$'\\n'/$'\\n'$1 }}\"\n"
        f"  case $rc in 0) ;; {ABSENT}) exit 1 ;; *) exit $rc ;; esac; }}\n" + "\n".join(sessions)
    )


def _may_enter(database: str) -> str:
    """SQL that prints a line where the owner may enter; the role may be another's, or not there."""
    return (
        f"select '{ENTERED} ' || datname from pg_database d, pg_roles r"
        f" where datname = {literal(database)} and rolname = '{role(database)}' and rolcanlogin"
        " and has_database_privilege(r.oid, d.oid, 'connect')"
    )


def _session(database: str, asked: str) -> str:
    return f"said=$({psql(database)} <<'MLOPS_SQL'\n{asked}MLOPS_SQL\n); rc=$?; told {database}\n"


def answers(questions: Sequence[Query], reply: Answer) -> Iterator[Answer]:
    """The reply to each question: its rows."""
    found: dict[tuple[str, str], str] = {}
    for database in {q.database for q in questions}:
        start = f"{database} "
        lines = (line for line in reply.text.split("\n") if line.startswith(start))
        text = "".join(f"\n{line.removeprefix(start)}" for line in lines)
        for part in text.split(f"\n{MARK} ")[1:]:
            head, _, rest = part.partition("\n")
            found[database, head] = rest
    for number, q in enumerate(questions):
        text = found.get((q.database, str(number)), "").strip()
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
