"""PostgreSQL: cluster, settings in force, role and database. Asked and changed over the socket."""

from collections.abc import Iterator
from dataclasses import dataclass

from mlops_install.resource import ABSENT, Made, Resource, Run, Step
from mlops_install.shell import sh
from mlops_install.sql import Query, query, rows, sql

MARK = "mlops-install"
"""Comment by which a role is known to be ours."""
AGAIN = "run the same command again, which says what to do"
"""Somebody made it since the server was asked; asked again, it is one of the first things said."""


@dataclass(frozen=True)
class ClusterState:
    """Encoding and locale are fixed when a cluster is made."""

    version: str


@dataclass(frozen=True)
class Cluster(Resource[ClusterState]):
    """Debian's cluster `main`. One that is there is taken as it is."""

    version: str

    @property
    def name(self) -> str:
        return f"postgres cluster {self.version}/main"

    @property
    def desired(self) -> ClusterState:
        return ClusterState(self.version)

    @property
    def _half(self) -> str:
        return "/var/lib/mlops/made/postgres-half-made"

    @property
    def _data(self) -> str:
        return f"/var/lib/postgresql/{self.version}/main"

    def probe(self) -> str:
        return (
            f"[ ! -e {self._half} ] && [ -s {self._data}/global/pg_control ] || exit {ABSENT}\n"
            f"cat {self._data}/PG_VERSION"
        )

    def parse(self, answer: str) -> ClusterState:
        return ClusterState(answer.strip())

    def makes(self) -> tuple[Made, ...]:
        return (Made("cluster", f"{self.version}/main"),)

    def change(self, current: ClusterState | None) -> Iterator[Step]:
        drop = sh("pg_dropcluster", "--stop", self.version, "main")
        create = sh("pg_createcluster", self.version, "main", "--locale", "C.UTF-8", "-e", "UTF8")
        # Debian's pg_createcluster takes a folder that initdb has only begun for a whole cluster.
        yield Run(
            f"mkdir -p /var/lib/mlops/made\n"
            f"if [ -e {self._half} ]; then\n"
            f"  {drop} || true\n  rm -rf {self._data} /etc/postgresql/{self.version}/main\n"
            f'elif [ -n "$(ls -A {self._data} 2>/dev/null)" ]; then\n'
            f"  echo {self._data} holds something that is not a cluster\n"
            "  echo fix: move that folder away\n  exit 1\nfi\n"
            f"touch {self._half}\n{create} -- --data-checksums\nrm {self._half}",
            title=create,
        )


@dataclass(frozen=True)
class SettingsState:
    """`inputs`: digest of the settings that the server has read."""

    inputs: str
    restart_pending: bool


@dataclass(frozen=True)
class Settings(Resource[SettingsState]):
    """The settings file is in force; it defines `mlops.inputs` as its own digest."""

    version: str
    inputs: str

    @property
    def name(self) -> str:
        return "postgres settings in force"

    @property
    def desired(self) -> SettingsState:
        return SettingsState(self.inputs, restart_pending=False)

    def probe(self) -> Query:
        return query(
            "select coalesce(current_setting('mlops.inputs', true), '') as inputs,"
            " bool_or(pending_restart) as restart_pending from pg_settings"
        )

    def parse(self, answer: str) -> SettingsState:
        return SettingsState(**rows(answer)[0])

    def change(self, current: SettingsState | None) -> Iterator[Step]:
        unit = f"postgresql@{self.version}-main"
        pending = sql("select bool_or(pending_restart) from pg_settings")
        yield Run(
            f"systemctl reload {unit}; sleep 0.5\n"
            f'if [ "$({pending})" = t ]; then systemctl restart {unit}; fi',
            title=f"systemctl reload (or, where needed, restart) {unit}",
        )


@dataclass(frozen=True)
class RoleState:
    """What a role may do; `mark` is its comment."""

    login: bool
    superuser: bool
    create_db: bool
    create_role: bool
    mark: str


@dataclass(frozen=True)
class Role(Resource[RoleState]):
    """A role without password or privileges: the socket knows it by its system user."""

    role: str

    @property
    def name(self) -> str:
        return f"postgres role {self.role}"

    @property
    def desired(self) -> RoleState:
        return RoleState(True, False, False, False, MARK)

    def probe(self) -> Query:
        return query(
            "select rolcanlogin as login, rolsuper as superuser, rolcreatedb as create_db,"
            " rolcreaterole as create_role, coalesce(shobj_description(oid, 'pg_authid'), '')"
            " as mark"
            f" from pg_roles where rolname = '{self.role}'"
        )

    def parse(self, answer: str) -> RoleState:
        return RoleState(**rows(answer)[0])

    def makes(self) -> tuple[Made, ...]:
        return (Made("role", self.role),)

    def change(self, current: RoleState | None) -> Iterator[Step]:
        create = f'create role "{self.role}"'
        change = f'alter role "{self.role}" login nosuperuser nocreatedb nocreaterole'
        mark = f"comment on role \"{self.role}\" is '{MARK}'"
        first = self._create(create) if current is None else "select"
        title = f"psql: {create}; {change}" if current is None else f"psql: {change}"
        yield Run(sql(f"begin; {first}; {change}; {mark}; commit"), title=title)

    def _create(self, create: str) -> str:
        """Create it, unless it is there and ours: the server may have been down when asked."""
        found = f"shobj_description(to_regrole('\"{self.role}\"'), 'pg_authid')"
        return (
            f"do $$ begin if to_regrole('\"{self.role}\"') is null then {create};"
            f" elsif {found} is distinct from '{MARK}' then"
            f" raise exception 'the role {self.role} is not ours: {AGAIN}';"
            " end if; end $$"
        )


@dataclass(frozen=True)
class DatabaseState:
    """`open`: whether every role may connect."""

    owner: str
    encoding: str
    open: bool


@dataclass(frozen=True)
class Database(Resource[DatabaseState]):
    """A database that only its owner may connect to."""

    database: str
    owner: str

    @property
    def name(self) -> str:
        return f"postgres database {self.database}"

    @property
    def desired(self) -> DatabaseState:
        return DatabaseState(self.owner, "UTF8", open=False)

    def probe(self) -> Query:
        return query(
            "select pg_get_userbyid(datdba) as owner, pg_encoding_to_char(encoding) as encoding,"
            " has_database_privilege('public', oid, 'connect') as open"
            f" from pg_database where datname = '{self.database}'"
        )

    def parse(self, answer: str) -> DatabaseState:
        return DatabaseState(**rows(answer)[0])

    def makes(self) -> tuple[Made, ...]:
        return (Made("database", self.database),)

    def change(self, current: DatabaseState | None) -> Iterator[Step]:
        create = (
            f'create database "{self.database}" owner "{self.owner}"'
            " encoding 'UTF8' locale 'C.UTF-8' template template0"
        )
        own = f'alter database "{self.database}" owner to "{self.owner}"'
        shut = f'revoke all on database "{self.database}" from public'
        if current is None:
            # The server may have been down when asked; a foreign one is left alone.
            owner = (
                f"select pg_get_userbyid(datdba) from pg_database where datname = '{self.database}'"
            )
            yield Run(
                f'owner=$({sql(owner)})\nif [ -z "$owner" ]; then {sql(create)}; fi\n'
                f'if [ "${{owner:-{self.owner}}}" != {self.owner} ]; then\n'
                f"  echo the database {self.database} is not ours: {AGAIN}; exit 1\nfi",
                title=f"psql: {create}",
            )
        yield Run(sql(own, shut), title=f"psql: {own}; {shut}")


@dataclass(frozen=True)
class TaskDatabase(Database):
    """The database of what tasks make. Before tasks had a user of their own, it was Airflow's."""

    former: str = "airflow"

    def change(self, current: DatabaseState | None) -> Iterator[Step]:
        grant = f'grant "{self.owner}" to "{self.former}"'  # tasks that began before go on
        yield Run(sql(grant), title=f"psql: {grant}")
        if current and current.owner == self.former:
            yield from self._handed_over()
        yield from super().change(current)

    def _handed_over(self) -> Iterator[Step]:
        """By the former owner itself: what is in a database may be code, and no superuser looks."""
        reassign = f'reassign owned by "{self.former}" to "{self.owner}"'
        # A new owner needs this right in the schema first.
        schemas = (
            "do $$ declare s name; begin"
            " for s in select nspname from pg_namespace where pg_has_role(nspowner, 'usage') loop"
            f" execute format('grant create on schema %I to \"{self.owner}\"', s);"
            " end loop; end $$"
        )
        text = f"begin; {schemas}; {reassign}; commit"
        # It gives away the former owner's databases too, which needs the right to create some.
        yield Run(sql(f'alter role "{self.former}" createdb'), title=f"psql: {reassign}")
        yield Run(sql(text, database=self.database, who=self.former), title=f"psql: {reassign}")
        back = f'alter database "{self.former}" owner to "{self.former}"'
        yield Run(sql(back, f'alter role "{self.former}" nocreatedb'), title=f"psql: {back}")
