"""Airflow's database as a whole: dump, load into another one, compare, rename.

Runs as root; PostgreSQL is spoken to as user postgres over its socket.
"""

import contextlib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlops_server.disk import writing
from mlops_server.errors import EnvError

NAME = "airflow"
OWNER = "airflow"
PSQL = ("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1")
# A session's settings decide how a row reads as text, and two servers may differ in them.
TABLES = """\
set timezone = 'UTC';
set datestyle = 'ISO, YMD';
set intervalstyle = 'postgres';
set bytea_output = 'hex';
set extra_float_digits = 1;
select format('select %L, count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)'
  ' from %I.%I t', n.nspname || '.' || c.relname, n.nspname, c.relname)
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind = 'r' and n.nspname !~ '^(pg_|information_schema$)' order by 1 \\gexec
select format('select %L, last_value, is_called from %I.%I',
  'sequence ' || n.nspname || '.' || c.relname, n.nspname, c.relname)
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind = 'S' order by 1 \\gexec
"""

Fingerprint = dict[str, str]
"""Table or sequence -> number of its rows and a sum over the hashes of their text."""


def psql(text: str, database: str = "postgres") -> str:
    """Run SQL, statement by statement; what it printed. Raises `EnvError`."""
    done = subprocess.run(
        _postgres(*PSQL, "-d", database), input=text, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise EnvError(f"psql -d {database} failed", detail=done.stderr, fix=LOG)
    return done.stdout


LOG = "`journalctl -u 'postgresql@*'` tells more; mend the cause and run it again"


def exists(database: str) -> bool:
    """Whether there is such a database."""
    return bool(psql(f"select 1 from pg_database where datname = '{database}'").strip())


def size(database: str = NAME) -> int:
    """Its size in bytes."""
    return int(psql(f"select pg_database_size('{database}')"))


def dump(path: Path, database: str = NAME) -> Fingerprint:
    """Write a dump (custom format, mode 0600, on disk when this returns) beside running services.

    The fingerprint is of the very state that was dumped. Raises `EnvError`, and leaves no file.
    """
    with _snapshot(database) as (snapshot, fingerprint):
        before = fingerprint()
        words = _postgres("pg_dump", "-Fc", "-d", database, f"--snapshot={snapshot}")
        try:
            with writing(path) as out:
                _run(words, out.fileno(), "pg_dump")
        except OSError as error:
            raise EnvError(f"cannot write {path}: {error.strerror}", fix="make room") from error
        return before


def load(path: Path, database: str) -> None:
    """Make a database from a dump; there must be none of this name. Raises `EnvError`."""
    create(database)
    words = _postgres("pg_restore", "--exit-on-error", "--single-transaction", "-d", database)
    with path.open("rb") as dumped:
        done = subprocess.run(words, stdin=dumped, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EnvError(f"{path} cannot be restored", detail=done.stderr, fix=LOG)
    psql("analyze", database)


def create(database: str) -> None:
    """Make an empty database that only its owner may connect to, as the installer does."""
    psql(
        f"create database \"{database}\" owner \"{OWNER}\" encoding 'UTF8' locale 'C.UTF-8'"
        f' template template0;\nrevoke all on database "{database}" from public'
    )


def drop(database: str) -> None:
    """Remove a database, if it is there, and throw out who uses it."""
    psql(f'drop database if exists "{database}" with (force)')


def rename(old: str, new: str) -> None:
    """Rename a database; who is connected is thrown out. Raises `EnvError`."""
    psql(
        f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{old}';\n"
        f'alter database "{old}" rename to "{new}"'
    )


def swap(*renames: tuple[str, str]) -> None:
    """Rename databases, all of them or none; who is connected is thrown out. Raises `EnvError`."""
    names = ", ".join(f"'{old}'" for old, _ in renames)
    text = f"select pg_terminate_backend(pid) from pg_stat_activity where datname in ({names});\n"
    steps = "".join(f'alter database "{old}" rename to "{new}";\n' for old, new in renames)
    psql(f"{text}begin;\n{steps}commit")


def heads(database: str = NAME) -> dict[str, str]:
    """The versions of its schema: table of alembic -> version; empty when there is none."""
    found = "select tablename from pg_tables where tablename ~ '^alembic_version'"
    tables = psql(f"{found} order by 1", database).split()
    return {t: psql(f'select version_num from "{t}"', database).strip() for t in tables}


def fingerprint(database: str = NAME) -> Fingerprint:
    """What is in it, to be compared with another one's."""
    return _parsed(psql(TABLES, database))


def differences(wanted: Fingerprint, found: Fingerprint) -> list[str]:
    """The tables and sequences that are not alike, sorted.

    A sequence may be further on: a snapshot does not hold it, so it goes on while a dump is made.
    """
    return sorted(name for name in wanted.keys() | found.keys() if not _alike(name, wanted, found))


def _alike(name: str, wanted: Fingerprint, found: Fingerprint) -> bool:
    was, now = wanted.get(name), found.get(name)
    if was is None or now is None or not name.startswith("sequence "):
        return was == now
    return int(now.partition("|")[0]) >= int(was.partition("|")[0])


@contextmanager
def _snapshot(database: str) -> Iterator[tuple[str, "_Taker"]]:
    """A session that holds one state of the database: its name, and who takes its fingerprint."""
    words = _postgres(*PSQL, "-d", database)
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as session:
        taker = _Taker(session)
        name = taker.ask("begin isolation level repeatable read;\nselect pg_export_snapshot();\n")
        yield name[0], taker


class _Taker:
    """Speaks with the session of a snapshot."""

    def __init__(self, session: "subprocess.Popen[str]") -> None:
        self.session = session

    def __call__(self) -> Fingerprint:
        return _parsed("\n".join(self.ask(TABLES)))

    def ask(self, text: str) -> list[str]:
        """The lines that some SQL prints. Raises `EnvError` when the session ends before."""
        found: list[str] = []
        if self.session.stdin is not None and self.session.stdout is not None:
            with contextlib.suppress(BrokenPipeError):
                self.session.stdin.write(f"{text}\\echo end of answer\n")
                self.session.stdin.flush()
            for line in iter(self.session.stdout.readline, ""):
                if line == "end of answer\n":
                    return found
                found.append(line.rstrip("\n"))
        raise EnvError("the database does not answer, or not to the end", fix=LOG)


def _parsed(text: str) -> Fingerprint:
    rows = (line.partition("|") for line in text.splitlines() if "|" in line)
    return {name: rest for name, _, rest in rows}


def _run(words: list[str], out: int, what: str) -> None:
    done = subprocess.run(words, stdout=out, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise EnvError(f"{what} failed", detail=done.stderr, fix=LOG)


def _postgres(*words: str) -> list[str]:
    return ["runuser", "-u", "postgres", "--", *words]
