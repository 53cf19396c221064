"""Upgrades: what a plan means, which files are saved and come back, and when the guard wakes."""

import fcntl
import json
import os
import tarfile
import threading
import time

import pytest
from mlops_install import report, upgrade
from mlops_install.answer import Answer
from mlops_install.config import parse
from mlops_install.context import Given, make
from mlops_install.errors import ConfigError, PreflightError
from mlops_install.facts import parse as facts
from mlops_install.plan import Plan, _change, _lanes, split
from mlops_install.resource import ABSENT
from mlops_install.resources.airflow import Contents
from mlops_install.roles import stages
from mlops_server.errors import EnvError
from mlops_server.layout import Layout
from mlops_server.upgrade import drain, files, generations, guard, rollback, steps, tasks
from mlops_server.upgrade.state import Log, State, Store
from samples import FACTS

HEADS = {"3.1.8": "509b94a1042d", "3.2.2": "1d6611b6ab7c", "3.3.1": "d2f4e1b3c5a7"}
HEADS["3.3.2"] = HEADS["3.3.1"]
FAB = "02ca36b0235b"


def planned(old: str, new: str, database: str = "whole") -> tuple[Plan, object]:
    """The plan for a server that has one version and shall have another.

    Its database is whole, empty, or PostgreSQL is away.
    """
    asked = {"whole": f"database=1\nalembic_version={HEADS.get(old)}\n", "empty": "database=1\n"}
    more = f"airflow={old}\n" + asked.get(database, "") if old else ""
    context = make(
        parse(f'[airflow]\nversion = "{new}"\n', "t"), facts(FACTS + more), Given(), "192.0.2.7"
    )
    found = {}
    for stage in stages(context):
        for lane in stage.lanes:
            for resource in lane.resources:
                answer = Answer("", ABSENT, "")
                if old and database == "whole" and isinstance(resource, Contents):
                    rows = [{"head": "alembic_version", "version": HEADS[old]},
                            {"head": "alembic_version_fab", "version": FAB},
                            {"user": "admin", "role": "Admin"},
                            {"user": "mlops-verify", "role": "Op"}]  # fmt: skip
                    answer = Answer("\n".join(map(json.dumps, rows)), 0, "")
                if change := _change(resource, answer):
                    found[resource.name] = change
    plan = Plan(tuple((s.name, _lanes(s, found)) for s in stages(context)), len(found))
    return plan, context


def test_without_postgresql_nobody_knows_what_an_upgrade_changes():
    with pytest.raises(ConfigError, match="PostgreSQL does not answer"):
        upgrade.find(*planned("3.2.2", "3.3.2", "away"))


def test_a_first_run_that_was_broken_off_is_no_upgrade():
    assert upgrade.find(*planned("3.1.8", "3.3.2", "empty")) is None


@pytest.mark.parametrize("old", ["3.1.8", "3.2.2"])
def test_other_heads_make_an_upgrade_of_the_schema(old):
    found = upgrade.find(*planned(old, "3.3.2"))
    assert (found.old, found.new, found.schema) == (old, "3.3.2", True)
    text = "\n".join(found.lines())
    assert f"upgrade of Airflow {old} → 3.3.2: the database schema changes" in text
    assert "tasks have 3600 s (drain_timeout) to end" in text


def test_the_same_heads_make_a_rolling_upgrade():
    found = upgrade.find(*planned("3.3.1", "3.3.2"))
    assert not found.schema
    assert "the database schema stays as it is" in next(found.lines())


def test_a_first_run_is_no_upgrade():
    assert upgrade.find(*planned("", "3.3.2")) is None


def test_an_older_version_cannot_use_a_newer_database():
    with pytest.raises(PreflightError, match=r"and 3.2.2 is wanted, which cannot read it") as e:
        planned("3.3.2", "3.2.2")
    assert "rollback airflow" in e.value.fix


def test_an_older_version_of_the_same_schema_may_come_back():
    assert not upgrade.find(*planned("3.3.2", "3.3.1")).schema


def test_the_plan_as_data_tells_of_the_upgrade():
    plan, context = planned("3.2.2", "3.3.2")
    found = report.plan_json(plan, upgrade.find(plan, context))["upgrade"]
    assert (found["from"], found["to"], found["schema"]) == ("3.2.2", "3.3.2", True)
    assert report.plan_json(plan)["upgrade"] is None
    json.dumps(found)


def test_nothing_is_configured_before_the_split():
    plan, _ = planned("3.2.2", "3.3.2")
    first, rest = split(plan, "configure")
    assert [name for name, _ in first.stages] == ["prepare", "build"]
    assert [name for name, _ in rest.stages] == ["configure", "start"]


# --- files --------------------------------------------------------------------------------


@pytest.fixture
def layout(tmp_path):
    (tmp_path / "var/lib/mlops").mkdir(parents=True)
    return Layout(tmp_path)


def note(layout, kind, *names):
    """Lines of the journal."""
    with layout.journal.open("a") as journal:
        for name in names:
            line = {"kind": kind, "name": f"/{name}" if "/" in name else name, "was": "none"}
            journal.write(json.dumps(line | {"at": "2026-11-22T20:17:16Z"}) + "\n")


def put(layout, name, text="old", mode=0o640):
    path = layout.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_files_come_back_as_they_were(layout):
    note(layout, "file", "etc/mlops/airflow.cfg", "etc/systemd/system/airflow-api-server@.service")
    note(layout, "link", "opt/mlops/airflow/current")
    cfg = put(layout, "etc/mlops/airflow.cfg")
    gone = put(layout, "etc/systemd/system/airflow-api-server.service")
    secret = put(layout, "etc/mlops/secrets/fernet_key")
    code = put(layout, "opt/mlops/lib/python/0123456789ab/a.py")
    current = layout.root / "opt/mlops/airflow/current"
    current.parent.mkdir(parents=True)
    current.symlink_to("old")
    archive = layout.root / "files.tar"
    files.save(layout, archive)
    assert archive.stat().st_mode & 0o777 == 0o600

    put(layout, "etc/mlops/airflow.cfg", "new", 0o644)
    gone.unlink()
    new = put(layout, "etc/systemd/system/airflow-api-server@.service", "new")
    wanted = layout.root / "etc/systemd/system/airflow.target.wants/airflow-api-server@a.service"
    wanted.parent.mkdir()
    wanted.symlink_to("../airflow-api-server@.service")
    current.unlink()
    current.symlink_to("new")
    secret.write_text("kept")
    code.write_text("kept")
    changed = files.restore(layout, archive)
    assert len(changed) == 5
    assert (cfg.read_text(), cfg.stat().st_mode & 0o777) == ("old", 0o640)
    assert gone.read_text() == "old"
    assert os.readlink(current) == "old"
    assert not new.exists()
    assert not wanted.is_symlink()
    assert (secret.read_text(), code.read_text()) == ("kept", "kept")
    assert files.restore(layout, archive) == []


def test_a_later_rollback_touches_only_what_the_journal_names(layout):
    """Weeks later a team has files of its own in nginx's and systemd's folders."""
    ours = ("etc/nginx/sites-available/mlops.conf", "etc/systemd/system/airflow-triggerer.service")
    system = "etc/systemd/system"
    note(layout, "file", *ours, f"{system}/airflow-scheduler@.service", "etc/nginx/new.conf")
    note(layout, "directory", "etc/nginx", "etc/mlops")
    note(layout, "tree", "opt/mlops/lib/airflow_config")
    note(layout, "unit", "airflow-triggerer.service", "airflow-scheduler@1.service")
    archive = layout.root / "files.tar"
    for name in (*ours, f"{system}/airflow-scheduler@.service"):
        put(layout, name)
    old = put(layout, "opt/mlops/lib/airflow_config/a.py")
    # As earlier installers saved: what is in these folders, whosever it is.
    theirs = put(layout, "etc/nginx/nginx.conf", "of the package")
    with tarfile.open(archive, "w") as tar:
        for path in (*(layout.root / name for name in ours), old, theirs):
            tar.add(path, str(path.relative_to(layout.root)))
        scheduler = layout.root / f"{system}/airflow-scheduler@.service"
        tar.add(scheduler, f"{system}/airflow-scheduler@.service")
    theirs.write_text("changed by the team")
    team = [
        put(layout, name, "the team's")
        for name in (
            "etc/nginx/conf.d/limits.conf", "etc/nginx/sites-enabled/wiki", "etc/mlops/notes.txt",
            f"{system}/airflow-exporter.service", f"{system}/mlops-report.timer",
            f"{system}/airflow-scheduler@.service.d/memory.conf", "opt/mlops/bin/helper",
        )
    ]  # fmt: skip
    wants = layout.root / f"{system}/multi-user.target.wants"
    wants.mkdir()
    for unit in ("airflow-exporter.service", "airflow-scheduler@3.service"):
        (wants / unit).symlink_to("..")
    came = [put(layout, "etc/nginx/new.conf"), put(layout, "opt/mlops/lib/airflow_config/b.py")]
    put(layout, ours[0], "new")
    changed = files.restore(layout, archive, later=True)
    assert sorted(changed) == sorted(
        [ours[0], f"{system}/multi-user.target.wants/airflow-scheduler@3.service",
         *(str(path.relative_to(layout.root)) for path in came)]
    )  # fmt: skip
    assert {path.read_text() for path in team} == {"the team's"}
    assert (wants / "airflow-exporter.service").is_symlink()
    assert theirs.read_text() == "changed by the team"
    saved = layout.root / "saved.tar"
    files.save(layout, saved)
    with tarfile.open(saved) as tar:
        assert tar.getnames() == sorted(
            [*ours, f"{system}/airflow-scheduler@.service", "opt/mlops/lib/airflow_config/a.py"]
        )


def test_without_a_journal_no_file_is_touched(layout):
    cfg = put(layout, "etc/mlops/airflow.cfg")
    with pytest.raises(EnvError, match=r"journal\.jsonl is missing"):
        files.save(layout, layout.root / "files.tar")
    assert cfg.exists()


def test_a_later_rollback_spares_what_lives_on(layout):
    note(layout, "file", "etc/mlops/tls/certificate.pem", "etc/mlops/connections.json")
    note(layout, "file", "etc/mlops/airflow.cfg", "etc/mlops/variables.json")
    note(layout, "link", "srv/mlops/workflows/current")
    stay = ("etc/mlops/tls/certificate.pem", "etc/mlops/connections.json")
    for name in stay:
        put(layout, name)
    link = layout.root / "srv/mlops/workflows/current"
    link.parent.mkdir(parents=True)
    link.symlink_to("releases/old")
    cfg, archive = put(layout, "etc/mlops/airflow.cfg"), layout.root / "files.tar"
    files.save(layout, archive)
    link.unlink()
    link.symlink_to("releases/new")
    for name in (*stay, "etc/mlops/airflow.cfg", "etc/mlops/variables.json"):
        put(layout, name, "new")
    assert files.restore(layout, archive, later=True) == ["etc/mlops/airflow.cfg"]
    assert (cfg.read_text(), os.readlink(link)) == ("old", "releases/new")
    assert len(files.restore(layout, archive)) == 4, "in the upgrade itself all goes back"


# --- state and guard ----------------------------------------------------------------------


def test_the_state_survives_and_its_end_is_kept(layout):
    store = Store(layout)
    store.save(State("3.2.2", "3.3.2", phase="open", stopped=100.0))
    assert store.folder.stat().st_mode & 0o777 == 0o700
    assert store.opened().phase == "open"
    store.answered.write_text("130.25")
    store.end(store.opened(), "done", "well")
    assert store.load() is None
    last = json.loads(store.last.read_text())
    assert (last["from"], last["to"], last["outcome"]) == ("3.2.2", "3.3.2", "done")
    assert last["seconds_down"] == 30.2
    assert sorted(p.name for p in store.folder.iterdir()) == ["last.json"]
    assert "upgrade that ended" in (layout.root / "var/lib/mlops/last_run").read_text()


def test_the_room_that_is_kept_for_the_way_back_is_not_taken_again(layout):
    store, state = Store(layout), State("3.2.2", "3.3.2", phase="open")
    store.save(state)
    before = sum(path.stat().st_size for path in store.folder.iterdir())
    store.free()
    state.phase = "returning"
    store.save(state)
    assert sum(path.stat().st_size for path in store.folder.iterdir()) < before - 200_000


def test_a_log_that_cannot_be_written_stops_nothing(layout):
    layout.upgrade_log.mkdir(parents=True)
    said = []
    Log(layout, "guard", said.append)("going back")
    assert said == ["going back"]


def test_the_first_reason_is_kept(layout):
    store = Store(layout)
    store.save(State("3.2.2", "3.3.2"))
    steps.fail(store, "pg_dump failed")
    steps.fail(store, "the installer stopped")
    assert store.opened().reason == "pg_dump failed"


def test_a_step_of_a_dead_run_stops(layout):
    store = Store(layout)
    with pytest.raises(EnvError, match="no upgrade is open"):
        store.opened()
    store.save(State("3.2.2", "3.3.2"))
    store.abandoned.touch()
    with pytest.raises(EnvError, match="given up"):
        store.opened()


def test_the_guard_waits_while_the_run_lock_is_held_and_ends_with_the_upgrade(layout):
    store, log = Store(layout), Log(layout, "guard", lambda _: None)
    store.save(State("3.2.2", "3.3.2"))
    layout.run.mkdir(parents=True)
    with (layout.run / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = threading.Thread(target=guard.guard, args=(layout, log))
        waiting.start()
        time.sleep(0.6)
        assert waiting.is_alive()
        assert not store.abandoned.exists()
        store.path.unlink()
        waiting.join(5)
        assert not waiting.is_alive()


def test_who_watches_sees_what_the_guard_says_since_the_upgrade_began(layout):
    store, said = Store(layout), []
    Log(layout, "guard", lambda _: None)("of an earlier upgrade")
    store.save(State("3.2.2", "3.3.2", log=layout.upgrade_log.stat().st_size))
    Log(layout, "drain", lambda _: None)("not of the guard")
    Log(layout, "guard", lambda _: None)("going back\nit is as before")
    threading.Timer(0.4, store.path.unlink).start()
    assert guard.watch(layout, said.append, 10)
    assert said == ["going back", "it is as before"]
    assert layout.upgrade_log.stat().st_mode & 0o777 == 0o600


def test_the_version_in_force_is_in_its_generation(layout):
    put(
        layout,
        "opt/mlops/airflow/current/requirements.txt",
        "aiohttp==1.0 \\\n    --hash=sha256:00\napache-airflow==3.2.2 \\\n    --hash=sha256:00\n",
    )
    assert drain.version(layout) == "3.2.2"


def generation(layout, name):
    mark = put(layout, f"opt/mlops/airflow/{name}/.ready")
    put(layout, f"opt/mlops/airflow/{name}/lib/airflow.py")
    return mark.parent


def switch(layout, name):
    current = layout.root / "opt/mlops/airflow/current"
    current.unlink(missing_ok=True)
    current.symlink_to(layout.root / "opt/mlops/airflow" / name)


def test_generations_that_nothing_goes_back_to_are_removed(layout):
    previous, said = Store(layout).previous, []
    previous.mkdir(parents=True)
    note(layout, "link", "opt/mlops/airflow/current")
    first, second, third = (generation(layout, name) for name in "abc")
    switch(layout, "b")
    files.save(layout, previous / "files.tar")
    switch(layout, "c")
    generations.clean(layout, said.append)
    assert said == [f"removed {first}, which nothing goes back to"]
    assert not first.exists()
    assert second.exists(), "a rollback goes back to it"
    (previous / "files.tar").unlink()
    with (second / "lib/airflow.py").open():
        generations.clean(layout, said.append)
    assert said[1:] == [f"{second} is in use, left alone"]
    (second / ".ready").unlink()  # a power cut on its way out
    generations.clean(layout, said.append)
    assert sorted(path.name for path in third.parent.iterdir()) == ["c", "current"]


def test_after_a_rolling_upgrade_the_one_before_stays(layout, monkeypatch):
    """Also when its version is the newer one, which was there before."""
    monkeypatch.setattr(tasks, "runs", lambda: 7)
    newer, older, other = (generation(layout, name) for name in "abc")
    put(layout, "opt/mlops/airflow/a/requirements.txt", "apache-airflow==3.3.2 \\\n")
    switch(layout, "a")
    steps.note(layout, "3.3.1")
    assert all(path.exists() for path in (newer, older, other)), "nothing goes before the switch"
    switch(layout, "b")
    generations.clean(layout, print)
    assert newer.exists()
    assert older.exists()
    assert not other.exists()


@pytest.mark.parametrize(("seconds", "text"), [(7, "7 s"), (61, "1 min 1 s"), (7260, "2 h 1 min")])
def test_spans_are_for_people(seconds, text):
    assert tasks.span(seconds) == text


# --- bounds -------------------------------------------------------------------------------


def test_of_what_rollbacks_replaced_the_two_latest_stay(layout):
    for day in range(4):
        for end in ("dump", "tar"):
            path = put(
                layout, f"var/lib/mlops/upgrade/airflow-3.2.{day}-2026030{day}T000000Z.{end}"
            )
            os.utime(path, (day, day))
    kept = put(layout, "var/lib/mlops/upgrade/airflow-3.1.8-20250101T000000Z.dump")
    os.utime(kept, (0, 0))
    rollback._forget_older(kept)
    assert {path.name for path in kept.parent.iterdir()} == {
        "airflow-3.1.8-20250101T000000Z.dump", "airflow-3.2.3-20260303T000000Z.dump",
        "airflow-3.2.3-20260303T000000Z.tar",
    }  # fmt: skip


def test_a_long_log_makes_room_when_an_upgrade_begins(layout, monkeypatch):
    monkeypatch.setattr(drain, "LOG_BYTES", 10)
    assert drain._log_size(layout.upgrade_log) == 0
    put(layout, "var/log/mlops/upgrade.log", "short")
    assert drain._log_size(layout.upgrade_log) == 5
    put(layout, "var/log/mlops/upgrade.log", "longer than that")
    assert drain._log_size(layout.upgrade_log) == 0
    assert layout.upgrade_log.with_name("upgrade.log.1").read_text() == "longer than that"
