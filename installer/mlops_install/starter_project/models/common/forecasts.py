"""The forecast table in PostgreSQL."""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
from psycopg2.extras import execute_values

# On the server no password is needed: the database knows the user of the tasks.
DATABASE = "host=/run/postgresql dbname=workflows"
TABLE = """
CREATE TABLE IF NOT EXISTS forecasts (
    model text,
    run_id text,
    week date,
    co2 double precision NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (model, run_id, week)
)
"""
NEWEST = """
SELECT week::text, co2 FROM forecasts
WHERE model = %(model)s AND week <= %(today)s AND run_id =
    (SELECT run_id FROM forecasts WHERE model = %(model)s ORDER BY made_at DESC LIMIT 1)
ORDER BY week
"""


def publish(model: str, run_id: str, rows: Sequence[Sequence[Any]]) -> int:
    """Replace what this run has written of this model by `rows` of (week, co2); their number."""
    values = [(model, run_id, week, co2) for week, co2 in rows]
    with transaction() as cursor:
        cursor.execute("DELETE FROM forecasts WHERE model = %s AND run_id = %s", (model, run_id))
        insert = "INSERT INTO forecasts (model, run_id, week, co2) VALUES %s"
        execute_values(cursor, insert, values)
    return len(values)


def published(model: str, today: str) -> dict[str, float]:
    """Week -> CO2 of the model's newest forecast, for the weeks that are over by `today`."""
    with transaction() as cursor:
        cursor.execute(NEWEST, {"model": model, "today": today})
        return dict(cursor.fetchall())


@contextmanager
def transaction() -> Iterator[Any]:
    """A cursor; all of what it did, or nothing, is there at the end. The table exists."""
    where = os.environ.get("FORECAST_DATABASE", DATABASE)
    with closing(psycopg2.connect(where)) as connection, connection, connection.cursor() as cursor:
        # Two tasks at once would both find no table: one waits here for the other.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('forecasts'))")
        cursor.execute(TABLE)
        yield cursor
