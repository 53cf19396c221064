"""The database in an upgrade: saved, proved, swapped; on a real PostgreSQL, broken off anywhere."""

import postgres
import pytest
from mlops_server import database
from mlops_server.errors import EnvError
from mlops_server.layout import Layout
from mlops_server.upgrade import back, drain, steps, tasks
from mlops_server.upgrade.state import State, Store

SCHEMA = """\
create table dag (dag_id text primary key, is_paused boolean not null);
create table dag_run (id serial primary key, dag_id text);
create table task_instance (dag_id text, run_id text, task_id text, map_index int, try_number int,
  state text, start_date timestamptz, queued_dttm timestamptz);
create table log (id serial primary key, event text);
insert into dag values ('mlops_canary', false), ('mine', false), ('it''s', false), ('off', true);
insert into dag_run (dag_id) values ('mine');
insert into log (event) values ('one'), ('two');
"""
pytestmark = postgres.NEEDED


@pytest.fixture(scope="module")
def cluster():
    with postgres.cluster():
        yield


@pytest.fixture
def store(cluster, tmp_path):
    """An Airflow database with something in it, and a store for its upgrade."""
    for name in (database.NAME, steps.BEFORE, steps.FAILED):
        database.drop(name)
    database.create(database.NAME)
    database.psql(SCHEMA, database.NAME)
    (tmp_path / "var/lib/mlops/upgrade").mkdir(parents=True)
    return Store(Layout(tmp_path))


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
    assert "all 6 tables and sequences are alike" in said[1]
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
        if text.startswith(("drop", "select pg_terminate")):
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
