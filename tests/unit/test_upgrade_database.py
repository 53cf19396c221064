"""The database in an upgrade: saved, proved, swapped; on a real PostgreSQL, broken off anywhere."""

import subprocess

import postgres
import pytest
from mlops_install.answer import ABSENT
from mlops_install.resources.airflow import Contents, ContentsState, User
from mlops_server import database, rights, sql
from mlops_server.errors import EnvError
from mlops_server.upgrade import back, drain, services, steps, tasks
from mlops_server.upgrade.state import State
from mlops_server.workflows import known

SCHEMA = """\
create table dag (dag_id text primary key, is_paused boolean not null);
create table dag_run (id serial primary key, dag_id text);
create table task_instance (dag_id text, run_id text, task_id text, map_index int, try_number int,
  state text, start_date timestamptz, queued_dttm timestamptz);
create table job (id serial primary key, job_type text, hostname text, state text,
  latest_heartbeat timestamptz);
create table log (id serial primary key, event text);
insert into dag values ('mlops_canary', false), ('mine', false), ('it''s', false), ('off', true);
insert into dag_run (dag_id) values ('mine');
insert into log (event) values ('one'), ('two');
"""
pytestmark = postgres.NEEDED


@pytest.fixture
def store(cluster, tmp_path):
    """An Airflow database with something in it, and a store for its upgrade."""
    return postgres.store(tmp_path, SCHEMA)


def events() -> str:
    return database.psql("select event from log order by id", database.NAME)


def test_what_is_paused_is_what_was_not_and_comes_back(store):
    state = State("3.2.2", "3.3.2")
    drain.pause(store, state, lambda _: None)
    assert store.opened().paused == ["it's", "mine"]
    assert tasks.unpaused() == []
    database.psql("insert into dag values ('late', false)", database.NAME)
    drain.pause(store, state, lambda _: None)
    assert store.opened().paused == ["it's", "late", "mine"]
    tasks.set_paused(state.paused, paused=False)
    assert tasks.unpaused() == ["it's", "late", "mine"]


def test_tasks_at_work_are_told(store):
    database.psql(
        "insert into task_instance values ('mine', 'r|1', 't', -1, 2, 'running', now() -"
        " interval '2 h 90 s', null),"
        " ('mine', 'r2', 'm', 3, 1, 'queued', null, now() - interval '3 h'),"
        " ('mine', 'r3', 't', -1, 1, 'success', now(), now())",
        database.NAME,
    )
    assert sorted(map(str, tasks.active())) == [
        "mine r2 m[3], try 1, queued for 3 h 0 min",
        "mine r|1 t, try 2, running for 2 h 1 min",
    ]


def test_a_dump_is_proved_in_a_second_database(store):
    said = []
    steps.save(store, said.append)
    assert "all 8 tables and sequences are alike" in said[1]
    assert database.exists(steps.BEFORE)
    dumped = database.dump(store.dump)
    database.drop(steps.BEFORE)
    database.psql("insert into log (event) values ('three')", database.NAME)
    with pytest.raises(EnvError, match=r"public.log, public.log_id_seq differ"):
        steps.prove(store, dumped | {"public.log": "3|1", "public.log_id_seq": "4|t"}, said.append)


@pytest.mark.parametrize("at", range(5))
def test_the_saved_database_comes_back_wherever_it_is_broken_off(store, monkeypatch, at):
    steps.save(store, lambda _: None)
    database.psql("insert into log (event) values ('of the new one')", database.NAME)
    count, really = 0, database.psql

    def psql(text: str, name: str = "postgres") -> str:
        nonlocal count
        if text.startswith(("update pg_database", "select pg_terminate")):
            count += 1
            if count == at + 1:
                raise KeyboardInterrupt
        return really(text, name)

    monkeypatch.setattr(database, "psql", psql)
    try:
        back.swap()
    except KeyboardInterrupt:
        back.swap()
    assert events() == "one\ntwo\n"
    assert not database.exists(steps.BEFORE)
    assert not database.exists(steps.FAILED)


def test_too_little_room_is_told_before_anything_is_paused(store, monkeypatch):
    monkeypatch.setattr(drain, "SPARE", 1 << 60)
    with pytest.raises(EnvError, match="MiB free; saving Airflow's database first needs"):
        drain.drain(store.layout, drain.Wish("3.3.2", 1), lambda _: None)
    assert tasks.unpaused() == ["it's", "mine"]
    assert store.load() is None


def test_who_was_started_shows_life_whatever_the_clock_says(store, monkeypatch):
    """Rows of before count no more, however fresh; rows of now count, however old they look."""
    monkeypatch.setattr(services, "answers", lambda: True)
    row = "insert into job values (default, '{}', '{}', 'running', {})"
    kinds = (
        ("SchedulerJob", "scheduler-1.localhost"),
        ("DagProcessorJob", "x"),
        ("TriggererJob", "x"),
    )
    for kind, host in kinds:
        database.psql(row.format(kind, host, "now() + interval '1 day'"), database.NAME)
    last = services.last_job()
    units = ["airflow-scheduler@1.service"]
    assert services.wait(units, last, 0.1) == "DagProcessorJob, TriggererJob, scheduler-1"
    for kind, host in kinds:
        database.psql(row.format(kind, host, "now() - interval '1 day'"), database.NAME)
    assert services.wait(units, last, 0.1) == ""


ODD = 'a|b\\u2028c\nend of answer\n["x", 1, 2]\n\'"; drop table dag; --'
"""What a user of Airflow may call things: no line of it may pass for another row."""


def test_rows_are_read_whatever_the_names_are(store):
    quoted = sql.literal(ODD)
    database.psql(f"insert into dag values ({quoted}, false)", database.NAME)
    assert tasks.unpaused() == sorted([ODD, "it's", "mine"])
    tasks.set_paused([ODD], paused=True)
    assert tasks.unpaused() == ["it's", "mine"]
    (row,) = sql.rows(f"select {quoted} as name, 1 as n", database.NAME)
    assert row == {"name": ODD, "n": 1}


def test_tables_with_odd_names_neither_run_sql_nor_hide_each_other(store):
    """They belong to tasks, who may call them anything; a name once went into SQL as it was."""
    names = ("alembic_version|a", "alembic_version|b", "alembic_version_x\"; drop table dag; --",
             "alembic_version\nend of answer")  # fmt: skip
    for number, name in enumerate(names):
        table = '"' + name.replace('"', '""') + '"'
        database.psql(f"create table {table} (version_num text)", database.NAME)
        database.psql(f"insert into {table} values ('v{number}')", database.NAME)
    database.psql("create table alembic_version_other (a text)", database.NAME)
    assert database.heads() == {name: f"v{n}" for n, name in enumerate(names)}
    dumped = database.dump(store.dump)
    assert {f"public.{name}" for name in names} < dumped.keys()
    database.load(store.dump, steps.BEFORE)
    assert database.differences(dumped, database.fingerprint(steps.BEFORE)) == []
    assert tasks.unpaused() == ["it's", "mine"]


def test_a_release_with_many_long_paths_is_shown_to_the_dag_processor(store):
    """More than fits on a command line."""
    database.psql(
        "create table dag_priority_parsing_request (id text primary key, bundle_name text,"
        " relative_fileloc text)", database.NAME
    )  # fmt: skip
    release = store.layout.releases / "0123456789ab"
    folder = release / "dags" / ("d" * 250) / ("it's" * 60) / ("e" * 240)
    folder.mkdir(parents=True)
    for number in range(known.MOST):
        (folder / f"{'f' * 200}{number}.py").write_text("import airflow; dag")
    known.show_soon(release)
    count = (
        "select count(*) as n from dag_priority_parsing_request where relative_fileloc ~ 'it''s'"
    )
    assert sql.rows(count, database.NAME) == [{"n": known.MOST}]


def test_rights_and_settings_of_a_database_come_back_with_it(store):
    """They are in no dump."""
    name = 'a "report|er'
    role = '"' + name.replace('"', '""') + '"'
    database.psql(f"create role {role}")
    database.psql(
        f"grant connect on database airflow to {role} with grant option;\n"
        "alter database airflow set statement_timeout = '5min';\n"
        'alter database airflow set search_path = "$user", public, "odd, name";\n'
        f"alter role {role} in database airflow set \"my.setting\" = 'it''s; drop';\n"
        "alter database airflow connection limit 90;\n"
        "comment on database airflow is 'two\nlines'"
    )
    before = rights.read(database.NAME)
    assert len(before) == 6
    steps.save(store, lambda _: None)
    back.swap()
    assert rights.read(database.NAME) == before
    assert rights.give(database.NAME, [["grant", "nobody there", "CONNECT", False]]) == [
        "nobody there"
    ]
    database.drop(database.NAME)
    database.psql(f"drop role {role}")


AIRFLOW = """\
create table alembic_version (version_num text);
create table alembic_version_fab (version_num text);
create table ab_user (id int, username text, active boolean);
create table ab_role (id int, name text);
create table ab_user_role (id int, user_id int, role_id int);
create table slot_pool (pool text, slots int, description text);
insert into alembic_version values ('a1'); insert into alembic_version_fab values ('b2');
insert into ab_role values (1, 'Admin'), (2, 'Op');
insert into ab_user values (1, 'admin', true), (2, 'mlops-verify', true), (3, 'auth0|5f7c', true);
insert into ab_user values (4, E'a\\nb|c\\u2028d', true);
insert into ab_user_role values (1, 1, 1), (2, 2, 2), (3, 3, 1), (4, 4, 1);
insert into slot_pool values ('gpu|big', 3, 'mine'), (E'x\\ny', 4, 'made by mlops-install');
"""


def test_the_plan_reads_a_database_with_odd_users_and_pools(store):
    """By the very script that goes to a server."""
    users = (User("admin", "Admin", "a@x", "p"), User("mlops-verify", "Op", "v@x", "q"))
    heads = {"alembic_version": "a1", "alembic_version_fab": "b2"}
    contents = Contents("/python", "/setup", heads, users, {"gpu|big": 3}, "x")

    def probed() -> "subprocess.CompletedProcess[str]":
        script = postgres.here(contents.probe().shell())
        return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)

    assert probed().returncode == ABSENT
    database.psql(AIRFLOW, database.NAME)
    answer = probed()
    assert answer.returncode == 0, answer.stderr
    found = contents.parse(answer.stdout)
    assert found == ContentsState(
        heads, {"admin": "Admin", "mlops-verify": "Op"}, {"gpu|big": 3, "x\ny": 4}
    )
