"""The tables of a new database, from a dump."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mlops_install.resource import Resource, Run, Step
from mlops_install.shell import here
from mlops_install.sql import Query, psql, query, rows, sql

ANY = "select exists (select from pg_tables where schemaname = 'public')"


@dataclass(frozen=True)
class TablesState:
    """Whether the database has tables."""

    there: bool


@dataclass(frozen=True)
class Tables(Resource[TablesState]):
    """A database that has no tables gets them from a dump: all of them or, where that fails, none.

    One that has some is left alone.
    """

    database: str
    dump: str = field(repr=False)

    @property
    def name(self) -> str:
        return f"postgres tables of {self.database}"

    @property
    def desired(self) -> TablesState:
        return TablesState(there=True)

    def probe(self) -> Query:
        return query(f"select ({ANY}) as there", database=self.database)

    def parse(self, answer: str) -> TablesState:
        return TablesState(**rows(answer)[0])

    def change(self, current: TablesState | None) -> Iterator[Step]:
        load = f"{psql(self.database)} -1 -f -"
        yield Run(
            f'if [ "$({sql(ANY, database=self.database)})" = f ]; then\n'
            f"  {load} < <({here(self.dump.encode())}) >/dev/null\nfi",
            title=f"psql: load {len(self.dump)} bytes into {self.database}",
        )
