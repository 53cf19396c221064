"""Root and postgres never touch what another user can shape: the attacks, on a server, as they are.

Each attacker has what a task has: the system user and the database role `airflow`, or `postgres`
where it says so.
"""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from server import Server
from test_backup import restore

pytestmark = [pytest.mark.box, pytest.mark.slow]
DATA = "/srv/mlops/data"
BACKUPS = "/var/lib/mlops/backups"
# Whoever asks with more rights than the attacker gives them away: by a cast of a row to text, by
# a view that takes a table's place, by a trigger, by an expression of an index.
SHAPED = """\
create schema walls;
create function walls.take() returns boolean language plpgsql as $$ begin
  begin execute 'alter role airflow superuser'; exception when others then null; end;
  return true; end $$;
create table public.walls_bait (a int);
insert into public.walls_bait values (1);
create function walls.text(public.walls_bait) returns text language sql as
  $$ select walls.take()::text $$;
create cast (public.walls_bait as text) with function walls.text(public.walls_bait) as assignment;
create function walls.pure(int) returns int language plpgsql immutable as
  $$ begin perform walls.take(); return 1; end $$;
create index on public.walls_bait (walls.pure(a));
create view walls.job as select * from public.job where walls.take();
create view walls.task_instance as select * from public.task_instance where walls.take();
create view walls.dag as select * from public.dag where walls.take();
create view walls.dag_run as select * from public.dag_run where walls.take();
create view walls.slot_pool as select * from public.slot_pool where walls.take();
create view walls.ab_user as select * from public.ab_user where walls.take();
create view walls.alembic_version as select * from public.alembic_version where walls.take();
create function walls.fired() returns trigger language plpgsql as
  $$ begin perform walls.take(); return new; end $$;
create trigger walls before update on public.dag for each row execute function walls.fired();
"""
GONE = """\
drop trigger walls on public.dag;
drop table public.walls_bait cascade;
drop schema walls cascade;
"""
POWER = "select rolname from pg_roles where rolsuper and rolname <> 'postgres'"
DRAIN = """\
from mlops_server.upgrade import services, tasks
tasks.active(); tasks.runs(); services.last_job()
tasks.set_paused(tasks.unpaused(), paused=False)
"""


# Takes every place where the API server listens or listened, and says what is sent there.
LISTENER = """\
import contextlib, os, selectors, socket
loop = selectors.DefaultSelector()
for slot, port in (("a", 8081), ("b", 8082)):
    with contextlib.suppress(OSError):
        loop.register(socket.create_server(("127.0.0.1", port)), 1)
    folder = f"/run/airflow-api-server-{slot}"
    with contextlib.suppress(OSError):
        os.makedirs(folder, exist_ok=True)
        unix = socket.socket(socket.AF_UNIX)
        unix.bind(f"{folder}/http")
        unix.listen()
        loop.register(unix, 1)
print("ready", flush=True)
while True:
    for key, _ in loop.select():
        print("got", key.fileobj.accept()[0].recv(4096), flush=True)
"""


@pytest.fixture(scope="module", params=["debian-13"])
def system(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def as_airflow(server: Server, script: str) -> str:
    """What an attacker does on the server."""
    return server.ssh(f"cd /; runuser -u airflow -- bash -c {shlex.quote(script)}")


def sql(server: Server, text: str, database: str = "airflow") -> str:
    return as_airflow(server, f"psql -XqAt -v ON_ERROR_STOP=1 -d {database} <<'SQL'\n{text}\nSQL")


def power(server: Server) -> str:
    """Which roles have what nobody gave them."""
    return server.ssh(f"cd /; runuser -u postgres -- psql -XqAt -c {shlex.quote(POWER)}")


@contextmanager
def shaped(server: Server) -> Iterator[None]:
    """A database whose owner has put code wherever somebody looks; it comes first by name."""
    sql(server, SHAPED)
    sql(server, "alter database airflow set search_path = walls, public", "postgres")
    try:
        yield
    finally:
        server.ssh("cd /; runuser -u postgres -- psql -XqAt -c 'alter role airflow nosuperuser'")
        sql(server, "alter database airflow reset search_path", "postgres")
        sql(server, GONE)


def mlops(server: Server, *words: str) -> None:
    server.ssh(f"/usr/local/bin/mlops {shlex.join(words)} >&2")


def python(server: Server, text: str) -> None:
    server.ssh(
        "cd /; PYTHONPATH=/opt/mlops/lib/python/current /usr/bin/python3 -P -B -c "
        + shlex.quote(text)
    )


@pytest.mark.parametrize("what", ["backup", "status", "plan", "drain", "uninstall"])
def test_what_stands_in_airflows_tables_gives_nobody_power(provisioned, what):
    """The nightly backup once ran a cast of a task's as superuser, and all other questions too."""
    provisioned.apply()
    with shaped(provisioned):
        if what == "backup":
            mlops(provisioned, "backup", "create")
        elif what == "drain":
            python(provisioned, DRAIN)
        else:
            provisioned.cli(what)  # an uninstall asks, and nobody answers
        assert power(provisioned) == ""


def test_a_dump_of_a_shaped_database_gives_nobody_power(provisioned):
    """By hand, as the pages say, and by a restore."""
    with shaped(provisioned):
        mlops(provisioned, "backup", "create")
        done = restore(provisioned, "latest", "--no-save")
        assert power(provisioned) == ""
    assert done.returncode in (0, 2), done.end


def test_nothing_of_roots_environment_shows_while_a_backup_is_made(provisioned):
    """runuser once left it: the logins of a proxy and an index were there for tasks to read."""
    watch = (
        "for i in $(seq 400); do for p in $(pgrep -u airflow,postgres -x"
        " 'psql|pg_dump|pg_restore'); do tr '\\0' '\\n' < /proc/$p/environ; done; done 2>/dev/null"
    )
    seen = provisioned.ssh(
        f"export https_proxy=http://hush:hush9@proxy MLOPS_SEEN=hush9\n"
        f"({watch}) > /root/seen & /usr/local/bin/mlops backup create >&2; kill $!; cat /root/seen"
    )
    assert "PATH=" in seen, "nobody was seen at work"
    assert "hush" not in seen


SWAP = """\
cd /etc/postgresql/*/main/conf.d || exit
end=$((SECONDS + {seconds}))
perl -e 'my $end = time + {seconds}; while (time < $end) {{
  unlink "mlops.conf.mlops-new"; symlink "/root/prize", "mlops.conf.mlops-new" }}'
"""


def test_a_link_that_is_swapped_in_is_not_written_through(provisioned):
    """From postgres towards root: a file of root's changed its mode in the first round."""
    provisioned.apply()
    provisioned.ssh("echo hush > /root/prize; chmod 600 /root/prize; chmod 711 /root")
    swap = SWAP.format(seconds=40)
    provisioned.ssh(f"runuser -u postgres -- bash -c {shlex.quote(swap)} >/dev/null 2>&1 &")
    for connections in (91, 92, 93):
        provisioned.want(f"\n[postgres]\nmax_connections = {connections}\n")
        provisioned.cli("apply", "--yes", "--no-verify")
    found = provisioned.ssh("stat -c '%a %U' /root/prize; cat /root/prize")
    assert found == "600 root\nhush"
    provisioned.ssh("pkill -u postgres perl || true; chmod 700 /root; rm /root/prize")
    provisioned.want("")
    provisioned.apply()


def test_a_folder_of_settings_that_leads_elsewhere_is_not_followed(provisioned):
    """postgres puts a link to a folder of root's in the place of its own."""
    provisioned.apply()
    place = provisioned.ssh("cd /etc/postgresql/*/main; pwd")
    provisioned.ssh(
        f"mkdir -p /root/prize.d; chmod 711 /root; cd {place}; runuser -u postgres -- sh -c"
        " 'mv conf.d conf.kept; ln -s /root/prize.d conf.d'"
    )
    provisioned.want("\n[postgres]\nmax_connections = 95\n")
    provisioned.cli("apply", "--yes", "--no-verify")
    assert provisioned.ssh("ls -A /root/prize.d") == ""
    provisioned.ssh(
        f"cd {place}; rm conf.d; mv conf.kept conf.d; rmdir /root/prize.d; chmod 700 /root"
    )
    provisioned.want("")
    provisioned.apply()


EXCHANGE = """\
import ctypes, os, time
libc, end = ctypes.CDLL(None), time.time() + 240
os.chdir("/srv/mlops/data/walls")
os.symlink("/opt/walls-prize", "elsewhere")
while time.time() < end:
    libc.renameat2(-100, b"many", -100, b"elsewhere", 2)
"""


def test_data_comes_back_as_the_user_whose_data_it_is(provisioned):
    """Root's hands once filled a folder of root's, through one that was exchanged meanwhile."""
    provisioned.want("\n[backup]\ndata = true\n")
    provisioned.apply()
    as_airflow(
        provisioned,
        f"mkdir -p {DATA}/walls/many; cd {DATA}/walls/many; for i in $(seq 300); do echo $i > $i;"
        " done; echo x > mlops-walls.service; ln -s /etc/shadow link; chmod 4755 1",
    )
    mlops(provisioned, "backup", "create")
    as_airflow(provisioned, f"rm -rf {DATA}/walls/many; mkdir {DATA}/walls/many")
    provisioned.ssh("mkdir -p /opt/walls-prize")
    provisioned.ssh(
        "systemd-run -q --collect --unit=walls-exchange --uid=airflow python3 -c "
        + shlex.quote(EXCHANGE)
    )
    restore(provisioned, "latest", "--no-save")
    provisioned.ssh("systemctl stop walls-exchange || true")
    assert provisioned.ssh("ls -A /opt/walls-prize") == ""
    assert provisioned.ssh(f"find {DATA} -user root") == ""
    as_airflow(provisioned, f"rm -rf {DATA}/walls")
    provisioned.ssh("rmdir /opt/walls-prize")


def test_nobody_but_root_can_hold_a_lock_that_root_waits_for(provisioned):
    """Whoever may open a file may lock it, for as long as they like."""
    provisioned.apply()
    hold = (
        "find /run /var/lib/mlops /var/cache/mlops /opt/mlops/airflow -xdev -type f"
        " \\( -name '*lock' -o -name busy \\) -readable 2>/dev/null"
    )
    assert as_airflow(provisioned, f"{hold}; true") == ""
    writable = "find /opt /etc /srv /var/cache/mlops -xdev -type f -perm -2 2>/dev/null; true"
    assert as_airflow(provisioned, writable) == ""


GO_BACK = """\
exec 8>>/run/mlops-install/lock; flock 8
/usr/local/bin/mlops upgrade drain --to 9.9.9 --timeout 60 >&2
/usr/local/bin/mlops upgrade begin --kill >&2
exec 8>&-
for second in $(seq 240); do [ -e /var/lib/mlops/upgrade/state.json ] || break; sleep 1; done
tr -d '\\n' < /var/lib/mlops/upgrade/last.json; echo
systemd-analyze security mlops-upgrade-guard.service | tail -1
systemd-analyze security mlops-upgrade-recover.service | tail -1
"""


def test_who_listens_where_the_api_server_was_is_sent_nothing(provisioned):
    """Neither people's logins, nor the one with which a run asks whether all answers."""
    api = provisioned.api_server
    spare = api.replace("@a", "@b") if "@a" in api else api.replace("@b", "@a")
    provisioned.ssh(
        f"systemctl stop {api}; cat > /tmp/listener.py <<'END'\n{LISTENER}END\n"
        "systemd-run -q --uid=nobody -u listener python3 -u /tmp/listener.py\n"
        "until journalctl -q -u listener -g ready; do sleep 0.2; done"
    )
    login = (
        "curl -s -o /dev/null -w %{http_code} -H 'Content-Type: application/json'"
        """ -d '{"username": "somebody", "password": "secret"}'"""
        " http://127.0.0.1:8080/auth/token"
    )
    assert provisioned.ssh(login) == "502"
    assert provisioned.try_ssh(f"systemctl start {spare}").returncode == 0
    provisioned.apply()
    assert provisioned.ssh("journalctl -q -o cat -u listener -g got || true") == ""
    provisioned.ssh("systemctl stop listener")


def test_the_guard_goes_back_within_its_walls(provisioned):
    """As after the death of a run that had saved everything: database, files, services."""
    provisioned.apply()
    runs = provisioned.sql("select count(*) from dag_run")
    last, *exposed = provisioned.ssh(GO_BACK).splitlines()
    assert "runs again, with the database and files from before" in last
    assert "no sign of life" not in last
    assert [float(line.split(":")[1].split()[0]) <= 4 for line in exposed] == [True, True]
    assert provisioned.sql("select count(*) from dag_run") == runs
    plan = provisioned.cli("plan")
    assert plan.returncode == 0, plan.end
