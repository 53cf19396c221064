"""Root and postgres never touch what another user can shape: the judges, without a server."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import mlops_server
import postgres
import pytest
from mlops_install import facts, restoring, sql, status, upgrade
from mlops_install.removal import found as leavings
from mlops_install.removal.dump import dumping
from mlops_install.resource import Put
from mlops_install.resources.airflow import Contents, User
from mlops_install.resources.tables import Tables
from mlops_server import database
from mlops_server.backup import data
from mlops_server.layout import Layout
from mlops_server.person import Person
from mlops_server.services import folder
from mlops_server.upgrade import drain, services, steps, tasks
from mlops_server.upgrade.state import State

ROOT = Path(__file__).parents[2]
SHOWN = [p for top in ("installer", "roles", "templates", "tests/infra")
         for p in sorted((ROOT / top).rglob("*"))
         if p.is_file() and p.suffix != ".pyc"]  # fmt: skip
# Of the models' builds and gate, whose users are not ours to choose here.
ELSEWHERE = ("mlops_install/box/", "mlops_install/roles/", "mlops_install/templates/",
             "mlops_install/infra_tests/")  # fmt: skip
root = pytest.mark.skipif(os.geteuid() != 0, reason="changing users needs root")


def found(pattern: str) -> set[str]:
    """Files of ours in whose text, comments aside, there is such a thing."""
    names = set()
    for path in SHOWN:
        name = str(path.relative_to(ROOT))
        if any(part in name for part in ELSEWHERE):
            continue
        text = re.sub(
            r'^\s*#[^\n]*|""".*?"""', "", path.read_text(errors="replace"), flags=re.M | re.S
        )
        if re.search(pattern, text):
            names.add(name)
    return names


def test_users_are_changed_in_one_place_a_side():
    """By shell text in `shell`, by Python in `person`; a login by PAM nowhere."""
    assert found(r"\brunuser\b|\bsudo -u\b|\bsu -") == set()
    assert found(r"--reuid") == {"installer/mlops_install/shell.py", "tests/infra/test_postgres.py"}
    assert found(r"\bsetuid\(|extra_groups=") <= {
        "installer/mlops_server/person.py", "installer/mlops_server/smoke.py",
    }  # fmt: skip


def test_one_module_a_side_speaks_to_postgresql():
    """And so one module chooses as whom: the superuser enters its own database only."""
    doors = {f"installer/mlops_{side}/sql.py" for side in ("install", "server")}
    assert found(r"SUPERUSER|as_user\(['\"]postgres|named\(['\"]postgres") == doors
    for module in (sql, mlops_server.sql):
        assert (module.ADMIN, module.OWNERS) == ("postgres", sql.OWNERS)
        assert "postgres" not in module.OWNERS.values()
    assert "user=postgres" in sql.psql()
    for name in ("airflow", "workflows", "airflow_before", "template1"):
        assert f"user={sql.role(name)} " in sql.psql(name)
        assert "postgres" not in sql.psql(name).replace(sql.SOCKETS, "")
        assert mlops_server.sql.role(name) == sql.role(name) != "postgres"


def test_nothing_of_roots_goes_along(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://user:hush@proxy")
    text = sql.psql("airflow")
    assert text.startswith("env -i ")
    assert " setsid -w setpriv " in text
    given = mlops_server.sql._environ("airflow")
    assert given.keys() <= {"PATH", "LC_ALL", "PGOPTIONS"} | {k for k in given if k[:2] == "PG"}


# --- what is in a database gives nobody power ---------------------------------------------

SCHEMA = """\
create table dag (dag_id text primary key, is_paused boolean not null);
create table dag_run (id serial primary key, dag_id text, run_id text, state text,
  start_date timestamptz);
create table task_instance (dag_id text, run_id text, task_id text, map_index int, try_number int,
  state text, start_date timestamptz, queued_dttm timestamptz);
create table job (id serial primary key, job_type text, hostname text, state text,
  latest_heartbeat timestamptz);
create table alembic_version (version_num text);
create table alembic_version_fab (version_num text);
create table ab_user (id int, username text, active boolean);
create table ab_role (id int, name text);
create table ab_user_role (id int, user_id int, role_id int);
create table slot_pool (pool text, slots int, description text);
insert into dag values ('mine', false);
insert into dag_run (dag_id) values ('mine');
insert into job values (default, 'x', 'y', 'running', now());
insert into task_instance values ('mine', 'r', 't', -1, 1, 'running', now(), now());
insert into alembic_version values ('a'); insert into alembic_version_fab values ('b');
insert into ab_role values (1, 'Admin'); insert into ab_user values (1, 'admin', true);
insert into ab_user_role values (1, 1, 1); insert into slot_pool values ('p', 1, 'd');
"""
TABLES = ("dag", "dag_run", "task_instance", "job", "alembic_version", "alembic_version_fab",
          "ab_user", "ab_role", "ab_user_role", "slot_pool")  # fmt: skip
TAKE = """\
create schema walls;
create function walls.take() returns boolean language plpgsql as $$ begin
  begin execute 'alter role airflow superuser'; exception when others then null; end;
  return true; end $$;
create function walls.pure(int) returns int language plpgsql immutable as
  $$ begin perform walls.take(); return 1; end $$;
create function walls.fired() returns trigger language plpgsql as
  $$ begin perform walls.take(); return new; end $$;
create function public.count(anyelement) returns bigint language sql as
  $$ select walls.take()::int::bigint $$;
create table bait (a int);
insert into bait values (1);
create index on bait (walls.pure(a));
create function walls.text(bait) returns text language sql as $$ select walls.take()::text $$;
create function walls.json(bait) returns json language sql as
  $$ select case when walls.take() then '{}'::json end $$;
create cast (bait as text) with function walls.text(bait) as assignment;
create cast (bait as json) with function walls.json(bait);
"""
ASKED = {
    "fingerprint": lambda store: database.fingerprint(),
    "heads": lambda store: database.heads(),
    "dump": lambda store: database.dump(store.dump),
    "save": lambda store: steps.save(store, lambda _: None),
    "tasks": lambda store: (tasks.active(), tasks.runs(), services.last_job()),
    "pause": lambda store: drain.pause(store, State("1", "2"), lambda _: None),
}
USERS = (User("admin", "Admin", "a@x", "p"),)
SHELL = {
    "plan": lambda: Contents("/p", "/s", {}, USERS, {}, "x").probe().shell(),
    "tables": lambda: Tables("airflow", "").probe().shell(),
    "facts": lambda: facts.script().partition("for bin in")[2].join(("for bin in", "")),
    "jobs": lambda: sql.select(status.JOBS, database="airflow"),
    "counts": lambda: sql.select(status.TASKS, database="airflow"),
    "at work": lambda: sql.select(upgrade.TASKS, database="airflow"),
    "restore": lambda: sql.select(restoring.TASKS, database="airflow"),
    "uninstall": lambda: sql.query(leavings.TASKS, database="airflow").shell(),
    "last dump": lambda: dumping(["airflow"], os.environ["PGHOST"]),
}


@pytest.fixture
def shaped(cluster, tmp_path):
    """A database in which the owner's code stands wherever somebody looks."""
    database.psql("alter role airflow nosuperuser")
    made = postgres.store(tmp_path, SCHEMA + TAKE)
    for name in TABLES:
        database.psql(
            f"create trigger walls before update on {name} for each row"
            " execute function walls.fired();\n"
            f"create view walls.{name} as select * from public.{name} where walls.take();\n",
            database.NAME,
        )
    database.psql("alter database airflow set search_path = walls, public")
    return made


def powerful() -> str:
    return database.psql("select rolname from pg_roles where rolsuper and rolname <> 'postgres'")


@postgres.NEEDED
def test_the_trap_works_where_the_superuser_looks(shaped):
    """Or the tests below would prove nothing."""
    name = os.environ["PGHOST"]
    words = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "psql", "-Xqd",
             "airflow", "-h", name, "-c", "select count(*) from job"]  # fmt: skip
    subprocess.run(words, check=True, capture_output=True)
    assert powerful() == "airflow\n"


@postgres.NEEDED
@pytest.mark.parametrize("what", ASKED)
def test_what_the_server_asks_gives_nobody_power(shaped, what):
    ASKED[what](shaped)
    assert powerful() == ""


@postgres.NEEDED
@pytest.mark.parametrize("what", SHELL)
def test_what_the_installer_asks_gives_nobody_power(shaped, what):
    script = postgres.here(f'say() {{ echo "$@"; }}\n{SHELL[what]()}')
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert done.returncode in (0, 3), done.stderr
    assert powerful() == ""


@postgres.NEEDED
def test_what_code_in_a_table_prints_is_no_answer_of_another_database(shaped):
    """Rows become JSON by a cast where there is one, and JSON may have lines."""
    forged = "E'{}\\n-- 0\\n{\"superuser\": true}\\npostgres -- 0'"
    database.psql(
        f"create type odd as (a int); create function j(odd) returns json language sql as"
        f" $$ select {forged}::text::json $$; create cast (odd as json) with function j(odd)",
        database.NAME,
    )
    asked = [sql.query("select false as superuser"),
             sql.query("select row(1)::odd as x", database="airflow")]  # fmt: skip
    script = postgres.here(sql.script(asked))
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    reply = sql.Answer(done.stdout, done.returncode, done.stderr)
    first, _ = sql.answers(asked, reply)
    if done.returncode == 0:
        assert [json.loads(line) for line in first.text.splitlines()] == [{"superuser": False}]


# --- root's files -------------------------------------------------------------------------


def as_nobody(*words: str) -> None:
    ids = ("--reuid=nobody", "--regid=nogroup", "--clear-groups")
    subprocess.run(["setpriv", *ids, *words], check=True, cwd="/")


@pytest.fixture
def theirs(tmp_path):
    """A folder of nobody's, and one of root's."""
    for path in (tmp_path, *list(tmp_path.parents)[:-2]):
        path.chmod(path.stat().st_mode | 0o011)
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 65534, 65534)
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours/prize").write_text("hush")
    (tmp_path / "ours/prize").chmod(0o600)
    return tmp_path / "theirs"


def put(path: Path) -> "subprocess.CompletedProcess[str]":
    text = Put(str(path), b"new", owner="nobody", group="nogroup").shell()
    text = text.replace("--regid=nobody", "--regid=nogroup")
    return subprocess.run(["bash", "-ec", text], capture_output=True, text=True)


@root
def test_a_file_in_a_folder_of_others_is_written_by_them(theirs):
    assert put(theirs / "conf").returncode == 0
    found_ = (theirs / "conf").stat()
    assert (found_.st_uid, (theirs / "conf").read_text()) == (65534, "new")


@root
@pytest.mark.parametrize("trap", ["folder", "fresh", "file"])
def test_a_link_in_a_folder_of_others_leads_root_nowhere(theirs, trap):
    prize, place = theirs.parent / "ours/prize", theirs / "conf.d"
    if trap == "folder":
        as_nobody("ln", "-s", str(prize.parent), str(place))
    else:
        as_nobody("mkdir", str(place))
        name = "mlops.conf.mlops-new" if trap == "fresh" else "mlops.conf"
        as_nobody("ln", "-s", str(prize), str(place / name))
    put(place / "mlops.conf")
    assert (prize.read_text(), prize.stat().st_mode & 0o777, prize.stat().st_uid) == (
        "hush", 0o600, 0,
    )  # fmt: skip
    assert [path.name for path in prize.parent.iterdir()] == ["prize"]


@postgres.NEEDED
def test_a_database_that_its_owner_calls_a_template_is_dropped_all_the_same(shaped):
    database.psql("alter database airflow is_template true", database.NAME)
    database.drop(database.NAME)
    assert not database.exists(database.NAME)


@root
def test_data_comes_back_as_its_owner(theirs, tmp_path, python_of_all):
    """With modes that keep its owner out of his own folders, and without what was root's alone."""
    layout = Layout(tmp_path / "server")
    layout.data.parent.mkdir(parents=True)
    for path in (layout.root, *layout.data.relative_to(layout.root).parents):
        (layout.root / path).chmod(0o755)
    theirs.rename(layout.data)
    as_nobody("sh", "-c", f"cd {layout.data}; mkdir -p shut/in; echo 1 > shut/in/a; chmod 4755"
              " shut/in/a; ln -s /etc/shadow link; chmod 555 shut/in shut")  # fmt: skip
    (layout.data / "secret").write_text("root's")
    (layout.data / "secret").chmod(0o600)
    packed = tmp_path / "data.tar.gz"
    top = str(layout.data.relative_to(layout.root))
    subprocess.run(["tar", "-C", layout.root, "-czf", packed, top], check=True)
    packed.chmod(0o600)
    subprocess.run(
        ["rm", "-rf", layout.data / "shut", layout.data / "link", layout.data / "secret"]
    )
    with pytest.raises(mlops_server.errors.EnvError, match=r"only root could read: .*/secret"):
        data.restore(layout, packed)
    assert not (layout.data / "secret").exists()
    modes = {str(p.relative_to(layout.data)): (p.lstat().st_uid, oct(p.lstat().st_mode & 0o7777))
             for p in layout.data.rglob("*")}  # fmt: skip
    assert modes == {"shut": (65534, "0o555"), "shut/in": (65534, "0o555"),
                     "shut/in/a": (65534, "0o4755"), "link": (65534, "0o777")}  # fmt: skip


@root
def test_data_is_not_written_where_its_owner_may_not(theirs, tmp_path, python_of_all):
    """Where a folder is exchanged meanwhile, and a part of the way is a folder of root's."""
    layout = Layout(tmp_path / "server")
    layout.data.parent.mkdir(parents=True)
    (layout.root).chmod(0o755)
    theirs.rename(layout.data)
    (layout.data / "roots").mkdir()
    (layout.data / "roots/a.service").write_text("x")
    packed = tmp_path / "data.tar.gz"
    top = str(layout.data.relative_to(layout.root))
    subprocess.run(["tar", "-C", layout.root, "-czf", packed, top], check=True)
    (layout.data / "roots/a.service").unlink()
    with pytest.raises(mlops_server.errors.EnvError, match="Permission denied"):
        data.restore(layout, packed)
    assert list((layout.data / "roots").iterdir()) == []


def test_the_digest_follows_no_link_on_the_way(tmp_path):
    """An oracle for what the task may not read."""
    secret = tmp_path / "secret/model"
    secret.mkdir(parents=True)
    (secret / "key").write_text("hush")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/model").symlink_to(secret)
    (tmp_path / "data/way").symlink_to(secret.parent)
    for path in (tmp_path / "data/model", tmp_path / "data/way/model"):
        with pytest.raises(OSError, match=r"Not a directory|symbolic links"):
            folder.digest(path)
    layout = Layout(tmp_path / "server")
    layout.data.parent.mkdir(parents=True)
    (tmp_path / "data").rename(layout.data)
    assert folder.changed(layout, layout.data / "model", folder.digest(secret))


# --- terminals ----------------------------------------------------------------------------

LOOK = """\
import fcntl, os, sys, termios
shown = {"ours": sys.argv[1], "tty": os.isatty(0), "session": os.getsid(0) == os.getpid()}
try:
    there = os.open("/dev/tty", os.O_RDWR)
    shown["number"] = os.fstat(there).st_rdev if os.isatty(there) else 0
    shown["own"] = [os.fstat(n).st_rdev for n in (0, 1, 2) if os.isatty(n)]
except OSError:
    shown["number"] = None
    shown["own"] = [os.fstat(n).st_rdev for n in (0, 1, 2) if os.isatty(n)]
import json; print("LOOK", json.dumps(shown), flush=True)
"""
RUN = """\
import os, sys
sys.path.insert(0, sys.argv[1])
from mlops_server import terminal
from mlops_server.person import Person
terminal.apart()
Person.named("nobody").become()
words = ["/usr/bin/python3", "-c", sys.argv[2], str(os.fstat(3).st_rdev)]
os.execv(words[0], words)
"""


@pytest.fixture
def python_of_all(monkeypatch):
    """That of the system: who runs these tests may keep theirs where nobody else comes."""
    try:
        as_nobody("/usr/bin/python3", "-c", f"open({mlops_server.__file__!r})")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("others may not read this code, or there is no Python for all")
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")


def on_a_terminal(
    code: str, redirect: str = "", typed: bytes = b"", after: bytes = b""
) -> tuple[str, int]:
    """What it shows, and how it ends, as root on a terminal; file 3 is that terminal."""
    child, master = pty.fork()
    if child == 0:
        os.dup2(0, 3)
        words = ["/usr/bin/python3", "-c", RUN, str(Path(mlops_server.__file__).parents[1]), code]
        os.execvp("sh", ["sh", "-c", f'"$@" {redirect}', "sh", *words])
    os.write(master, b"" if after else typed)
    shown = b""
    while True:
        if after and after in shown:
            os.write(master, typed)
            after = b""
        try:
            block = os.read(master, 4096)
        except OSError:
            break
        if not block:
            break
        shown += block
    os.close(master)
    return shown.decode(), os.waitpid(child, 0)[1]


def looked(shown: str) -> dict:
    return json.loads(next(line for line in shown.splitlines() if "LOOK" in line)[5:])


@root
def test_a_program_on_a_terminal_gets_one_of_its_own(python_of_all):
    """Into root's it typed what root's shell then ran."""
    shown, status_ = on_a_terminal(LOOK)
    seen = looked(shown)
    assert (status_, seen["tty"], seen["session"]) == (0, True, True)
    assert len(seen["own"]) == 3
    assert str(seen["ours"]) not in map(str, [*seen["own"], seen["number"]])


@root
@pytest.mark.parametrize("redirect", ["< /dev/null", "| cat", "2> /dev/null < /dev/null",
                                      "< /dev/null 2>&1 | cat"])  # fmt: skip
def test_where_files_lead_elsewhere_it_gets_none(redirect, python_of_all):
    shown, _ = on_a_terminal(LOOK, redirect)
    seen = looked(shown)
    assert (seen["number"], seen["own"], seen["session"]) == (None, [], True)


@root
def test_what_is_typed_arrives_and_ends_are_its_own(python_of_all):
    shown, status_ = on_a_terminal("print('SAID', input()[::-1]); raise SystemExit(7)",
                                   typed=b"abc\n")  # fmt: skip
    assert "SAID cba" in shown
    assert os.waitstatus_to_exitcode(status_) == 7
    _, status_ = on_a_terminal("import os; os.kill(os.getpid(), 9)")
    assert os.waitstatus_to_exitcode(status_) in (-signal.SIGKILL, 128 + signal.SIGKILL)
    shown, status_ = on_a_terminal(
        "import time; print('READY', flush=True); time.sleep(30)", "", b"\x03", b"READY"
    )
    assert os.waitstatus_to_exitcode(status_) != 0


@root
def test_much_that_is_shown_arrives_whole(python_of_all):
    shown, _ = on_a_terminal("print('x' * 500000); print('END')")
    assert shown.count("x") == 500000
    assert shown.rstrip().endswith("END")


def test_a_change_of_user_in_python_begins_a_session():
    assert Person("me", "/").options() == {"cwd": "/", "start_new_session": True}
