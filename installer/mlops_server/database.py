"""Airflow's database as a whole: dump, load into another one, compare, rename.

Runs as root; who speaks to PostgreSQL is in `sql`.
"""

import contextlib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlops_server import sql
from mlops_server.disk import writing
from mlops_server.errors import EnvError

NAME = "airflow"
# A session's settings decide how a row reads as text, and two servers may differ in them.
TABLES = """\
set timezone = 'UTC';
set datestyle = 'ISO, YMD';
set intervalstyle = 'postgres';
set bytea_output = 'hex';
set extra_float_digits = 1;
select format('select json_build_array(%L, count(*),
    coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text) from %I.%I t',
    n.nspname || '.' || c.relname, n.nspname, c.relname)
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind = 'r' and n.nspname !~ '^(pg_|information_schema$)' order by 1 \\gexec
select format('select json_build_array(%L, last_value, left(is_called::text, 1)) from %I.%I',
    'sequence ' || n.nspname || '.' || c.relname, n.nspname, c.relname)
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind = 'S' order by 1 \\gexec
"""

HEADS = """\
select format('select json_build_array(%L, (select min(version_num::text) from %I.%I))',
    c.relname, n.nspname, c.relname)
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
    join pg_attribute a on a.attrelid = c.oid and a.attname = 'version_num'
  where c.relkind = 'r' and n.nspname = 'public' and c.relname ~ '^alembic_version'
  order by 1 \\gexec
"""

LOCKS = "--lock-wait-timeout=10min"
"""Whose the tables are may lock them, for as long as they like."""

Fingerprint = dict[str, str]
"""Table or sequence -> number of its rows and a sum over the hashes of their text."""


def psql(text: str, database: str = sql.ADMIN) -> str:
    """Run SQL, statement by statement; what it printed. Raises `EnvError`."""
    return sql.run(text, database)


def exists(database: str) -> bool:
    """Whether there is such a database."""
    return bool(sql.rows(f"select 1 from pg_database where datname = {sql.literal(database)}"))


def size(database: str = NAME) -> int:
    """Its size in bytes."""
    return int(sql.rows(f"select pg_database_size({sql.literal(database)}) as size")[0]["size"])


def dump(path: Path, database: str = NAME) -> Fingerprint:
    """Write a dump (custom format, mode 0600, on disk when this returns) beside running services.

    The fingerprint is of the very state that was dumped. Raises `EnvError`, and leaves no file.
    """
    with _snapshot(database) as (snapshot, fingerprint):
        before = fingerprint()
        words = ("pg_dump", "-Fc", f"--snapshot={snapshot}", LOCKS)
        try:
            with writing(path) as out:
                _done("pg_dump", subprocess.run(
                    **sql.program(database, *words), stdout=out, stderr=subprocess.PIPE, text=True,
                    check=False,
                ))  # fmt: skip
        except OSError as error:
            raise EnvError(
                f"cannot write {path}: {error.strerror}", fix=f"make room at {path.parent}"
            ) from error
        return before


def load(path: Path, database: str) -> None:
    """Make a database from a dump; there must be none of this name. Raises `EnvError`."""
    create(database)
    words = ("pg_restore", "--exit-on-error", "--single-transaction", "--no-owner")
    with path.open("rb") as dumped:
        done = subprocess.run(
            **sql.program(database, *words), stdin=dumped, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
    if done.returncode:
        raise EnvError(f"{path} cannot be restored", detail=done.stderr, fix=_fix(done.stderr))
    psql("analyze", database)


def create(database: str) -> None:
    """Make an empty database that only its owner may connect to, as the installer does."""
    owner = sql.role(database)
    psql(
        f"create database \"{database}\" owner \"{owner}\" encoding 'UTF8' locale 'C.UTF-8'"
        f' template template0;\nrevoke all on database "{database}" from public'
    )


def drop(*databases: str) -> None:
    """Remove databases, as far as they are there, and throw out who uses them."""
    names = ", ".join(map(sql.literal, databases))
    # Who owns one may call it a template, which nobody could drop.
    plain = f"update pg_database set datistemplate = false where datname in ({names})"
    drops = (f'drop database if exists "{name}" with (force)' for name in databases)
    psql(";\n".join([plain, *drops]))


def rename(old: str, new: str) -> None:
    """Rename a database; who is connected is thrown out. Raises `EnvError`."""
    psql(
        f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{old}';\n"
        f'alter database "{old}" rename to "{new}"'
    )


def swap(*renames: tuple[str, str]) -> None:
    """Rename databases, all of them or none; who is connected is thrown out. Raises `EnvError`."""
    names = ", ".join(sql.literal(old) for old, _ in renames)
    text = f"select pg_terminate_backend(pid) from pg_stat_activity where datname in ({names});\n"
    steps = "".join(f'alter database "{old}" rename to "{new}";\n' for old, new in renames)
    psql(f"{text}begin;\n{steps}commit")


def heads(database: str = NAME) -> dict[str, str]:
    """The versions of its schema: table of alembic -> version; empty when there is none."""
    return {table: version or "" for table, version in sql.values(psql(HEADS, database))}


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
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(
        **sql.program(database, *sql.PSQL), stdin=pipe, stdout=pipe, stderr=null, text=True
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
        raise EnvError("the database does not answer, or not to the end", fix=sql.LOG)


def _parsed(text: str) -> Fingerprint:
    return {name: f"{first}|{second}" for name, first, second in sql.values(text)}


def _done(what: str, done: "subprocess.CompletedProcess[str]") -> None:
    if done.returncode:
        raise EnvError(f"{what} failed", detail=done.stderr, fix=_fix(done.stderr))


def _fix(said: str) -> str:
    """What somebody else put into a database its owner may not read or make."""
    if "permission denied" in said or "must be owner" in said:
        return "give it to the role that owns the database (`alter … owner to ROLE`), or drop it"
    return sql.LOG
