"""PostgreSQL: up, reached over its socket only, and closed to strangers."""

from contextlib import contextmanager

import pytest
from mlops_install import sql


def ask(host, query, database="postgres"):
    answer = host.run(sql.sql(query, database=database))
    assert answer.rc == 0, f"psql: {answer.stderr.strip()}"
    return answer.stdout.strip()


@contextmanager
def noted_of_others(context):
    """What a cluster cannot be made to have that was there before us is only noted."""
    try:
        yield
    except AssertionError as error:
        if context.facts.cluster not in context.facts.theirs:
            raise
        said = str(error).partition("\n")[0]
        pytest.skip(f"{said}, and this cluster was there before the installer")


def test_it_runs(host, context):
    unit = f"postgresql@{context.facts.postgres_version}-main"
    assert host.service(unit).is_running, f"{unit} does not run"


def test_airflow_gets_in_without_a_password(host):
    found = ask(host, "select current_user", database="airflow")
    assert found == "airflow", f"the Unix user airflow gets in as {found!r}"


def test_others_do_not(host):
    answer = host.run(
        "setpriv --reuid=nobody --regid=nogroup --clear-groups"
        " psql -XAt -d airflow -U airflow -c 'select 1'"
    )
    assert answer.rc != 0, "the Unix user nobody gets in as the role airflow"


def test_there_is_no_tcp(host, context):
    addresses = ask(host, "show listen_addresses")
    with noted_of_others(context):
        assert not addresses, f"it listens on {addresses}"


def test_the_role_has_no_power(host):
    row = "select rolsuper or rolcreatedb or rolcreaterole from pg_roles where rolname = 'airflow'"
    assert ask(host, row) == "f", "airflow may create roles or databases, or is a superuser"


def test_nobody_but_postgres_is_a_superuser(host, context):
    query = "select string_agg(rolname, ', ') from pg_roles where rolsuper and oid <> 10"
    found = ask(host, query)
    with noted_of_others(context):
        assert not found, f"superusers: {found}"


def test_settings_are_in_force(host, context):
    found = ask(host, "show max_connections")
    assert found == str(context.sizing.max_connections), f"max_connections is {found}"
    pending = ask(host, "select count(*) from pg_settings where pending_restart")
    assert pending == "0", f"{pending} settings wait for a restart"


def test_pages_have_checksums(host, context):
    found = ask(host, "show data_checksums")
    with noted_of_others(context):
        assert found == "on", "pages have no checksums"
