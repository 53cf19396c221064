"""Put the first users and pools into Airflow's database, which a dump has just filled.

Tables, roles and permissions are in the dump, so nothing of Airflow need be imported, which costs seconds of a first
run. Runs as setup_airflow.py does and reads the same from standard input; all is written or, where it fails, nothing.
"""

import json
import os
import sys
from pathlib import Path

import psycopg2
from werkzeug.security import generate_password_hash

USER = """
with made as (
  insert into ab_user (id, first_name, last_name, username, password, active, email, created_on, changed_on)
  values (nextval('ab_user_id_seq'), %(username)s, %(username)s, %(username)s, %(password)s, true, %(email)s,
    localtimestamp, localtimestamp) returning id)
insert into ab_user_role (id, user_id, role_id)
select nextval('ab_user_role_id_seq'), made.id, ab_role.id from made, ab_role where ab_role.name = %(role)s
"""
POOL = """
insert into slot_pool (pool, slots, description, include_deferred)
values (%(name)s, %(slots)s, %(description)s, %(include_deferred)s)
on conflict (pool) do update set slots = excluded.slots, description = excluded.description
"""


def password_of(user: dict[str, str]) -> str:
    """As Airflow's own FAB auth manager hashes it when nothing else is configured."""
    text = (Path(os.environ["CREDENTIALS_DIRECTORY"]) / user["credential"]).read_text()
    return generate_password_hash(text.strip(), method="scrypt", salt_length=16)


def main() -> None:
    wanted = json.load(sys.stdin)
    with psycopg2.connect("dbname=airflow host=/run/postgresql") as connection, connection.cursor() as cursor:
        for user in wanted["users"]:
            cursor.execute(USER, {**user, "password": password_of(user)})
            if cursor.rowcount != 1:
                raise SystemExit(f"user {user['username']}: there is no role {user['role']}")
            print(f"user {user['username']}: created")
        for pool in wanted["pools"]:
            cursor.execute(POOL, pool)
            print(f"pool {pool['name']}: {pool['slots']} slots")


if __name__ == "__main__":
    main()
