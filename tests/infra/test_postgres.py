"""PostgreSQL: up, reached over its socket only, and closed to strangers."""


def sql(host, query, user="postgres", database="airflow"):
    command = f"runuser -u {user} -- psql -XAt -d {database} -c %s"
    answer = host.run(command, query)
    assert answer.rc == 0, f"psql: {answer.stderr.strip()}"
    return answer.stdout.strip()


def test_it_runs(host, context):
    unit = f"postgresql@{context.facts.postgres_version}-main"
    assert host.service(unit).is_running, f"{unit} does not run"


def test_airflow_gets_in_without_a_password(host):
    found = sql(host, "select current_user", user="airflow")
    assert found == "airflow", f"the Unix user airflow gets in as {found!r}"


def test_others_do_not(host):
    answer = host.run("runuser -u nobody -- psql -XAt -d airflow -U airflow -c 'select 1'")
    assert answer.rc != 0, "the Unix user nobody gets in as the role airflow"


def test_there_is_no_tcp(host):
    addresses = sql(host, "show listen_addresses")
    assert not addresses, f"it listens on {addresses}"


def test_the_role_has_no_power(host):
    row = "select rolsuper or rolcreatedb or rolcreaterole from pg_roles where rolname = 'airflow'"
    assert sql(host, row) == "f", "airflow may create roles or databases, or is a superuser"


def test_settings_are_in_force(host, context):
    found = sql(host, "show max_connections")
    assert found == str(context.sizing.max_connections), f"max_connections is {found}"
    pending = sql(host, "select count(*) from pg_settings where pending_restart")
    assert pending == "0", f"{pending} settings wait for a restart"


def test_pages_have_checksums(host):
    assert sql(host, "show data_checksums") == "on", "pages have no checksums"
