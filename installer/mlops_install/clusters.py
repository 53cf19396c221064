"""PostgreSQL as it is on a server: can Airflow's cluster be had, and reached over its socket?"""

from collections.abc import Iterator

from mlops_server.errors import Flaw

from mlops_install.facts import Facts
from mlops_install.sql import OWNERS

PORT = "5432"
SOCKETS = "/run/postgresql"
ENDS = ("", "_proof", "_restored", "_before")
"""Of the names of databases beside another one: of backups, restores and upgrades."""
USERS = tuple((f"{name}{end}", role) for name, role in OWNERS.items() for end in ENDS)
"""The databases, each with the role that enters it."""


def problems(facts: Facts) -> Iterator[Flaw]:
    """What is in the way, each with its fix."""
    if facts.cluster in facts.clusters:
        yield from _settings(facts)
    else:
        yield from _taken(facts)
    if facts.postgres_error and "FATAL" in facts.postgres_error and not _starts(facts):
        yield Flaw(
            "its PostgreSQL does not let the system user postgres in over the socket:"
            f" {facts.postgres_error}",
            f"put the line `local all postgres peer` first in {_hba(facts)} and reload it",
        )
    yield from _rules(facts)


def _settings(facts: Facts) -> Iterator[Flaw]:
    name, found = facts.cluster, facts.clusters[facts.cluster]
    file = f"/etc/postgresql/{name}/postgresql.conf"
    data = f"/var/lib/postgresql/{name}"
    if (port := found.get("port", PORT)) != PORT:
        yield Flaw(
            f"its PostgreSQL {name} has the port {port}, and {PORT} is needed",
            f"set port = {PORT} in {file} and restart it, or move that cluster away",
        )
    sockets = [path.strip() for path in found.get("unix_socket_directories", SOCKETS).split(",")]
    if not {SOCKETS, f"/var{SOCKETS}"} & set(sockets):
        yield Flaw(
            f"its PostgreSQL {name} has no socket in {SOCKETS}",
            f"add {SOCKETS} to unix_socket_directories in {file} and restart it",
        )
    if found.get("data_directory", data).rstrip("/") != data:
        yield Flaw(
            f"its PostgreSQL {name} keeps its data in {found['data_directory']}",
            f"make {data} a link to that folder, and name it as data_directory in {file}",
        )
    if found.get("include_dir") != "conf.d":
        yield Flaw(
            f"its PostgreSQL {name} does not read {file.replace('postgresql.conf', 'conf.d')}",
            f"add include_dir = 'conf.d' to {file}",
        )


def _taken(facts: Facts) -> Iterator[Flaw]:
    """The port that a new cluster gets: Debian gives it another one when it is taken."""
    others = [name for name, found in facts.clusters.items() if found.get("port", PORT) == PORT]
    program = facts.ports.get(int(PORT))
    if others or program:
        who = f"PostgreSQL {others[0]}" if others else program
        yield Flaw(
            f"port {PORT} is taken by {who}, and PostgreSQL {facts.cluster} needs it",
            f"give {who} another port",
        )


def _starts(facts: Facts) -> bool:
    return any(word in facts.postgres_error for word in ("starting up", "shutting down"))


def _hba(facts: Facts) -> str:
    return f"/etc/postgresql/{facts.cluster}/pg_hba.conf"


def _rules(facts: Facts) -> Iterator[Flaw]:
    """The first rule that fits decides, as in PostgreSQL."""
    for database, user in USERS if facts.local_rules else ():
        fits = (how for databases, users, how in facts.local_rules
                if _fits(databases, database, {"all", *({"sameuser", "samerole"}
                if database == user else ())}) and _fits(users, user, {"all"}))  # fmt: skip
        method = next(fits, "no rule")
        if method != "peer":  # trust would let everybody in as airflow
            yield Flaw(
                f"its PostgreSQL asks the role {user} for `{method}` over the socket,"
                f" at the database {database}",
                f"put the line `local {database} {user} peer` above the others in {_hba(facts)}"
                " and reload it",
            )


def _fits(words: str, name: str, more: set[str]) -> bool:
    return bool({name, *more} & set(words.split(",")))
