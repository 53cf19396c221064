"""The installer's part of an upgrade on this machine; a script stands for the server's part."""

import subprocess

import pytest
from mlops_install import engine, runlock, upgrading
from mlops_install.errors import ApplyError
from mlops_install.host import Local
from mlops_install.upgrade import Upgrade

UPGRADE = Upgrade("3.2.2", "3.3.2", True, (), 30)


class Here(Local):
    """This machine, as who we are."""

    _sudo = "exec "


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Steps whose program notes its words and does what the file `answers` says."""
    program = tmp_path / "mlops"
    program.write_text(
        f'#!/bin/sh\nshift\necho "$*" >> {tmp_path}/words\n. {tmp_path}/answers\n', "utf-8"
    )
    program.chmod(0o755)
    (tmp_path / "answers").write_text("")
    for module in (engine, runlock):
        monkeypatch.setattr(module, "RUN_DIR", str(tmp_path))
    monkeypatch.setattr(upgrading, "PROGRAM", str(program))
    return tmp_path


def steps(choice="give-up"):
    return upgrading.Steps(Here(), lambda: choice)


def words(server):
    return (server / "words").read_text().splitlines()


OUTLAST = """\
case "$*" in *--timeout*) echo "still at work: slow r1 t, try 1, running"; exit 3; esac
"""


def test_a_drain_that_ends_stops_nobody(server):
    assert steps().drain("3.3.2", 30, "upgrade") is False
    assert words(server) == ["drain --to 3.3.2 --kind upgrade --timeout 30"]


def test_giving_up_names_the_tasks_that_outlast_the_time(server):
    (server / "answers").write_text(OUTLAST)
    with pytest.raises(ApplyError, match="tasks outlast drain_timeout, so nothing was") as error:
        steps("give-up").drain("3.3.2", 30, "upgrade")
    assert error.value.detail == "still at work: slow r1 t, try 1, running"
    assert "when_tasks_outlast" in error.value.fix


def test_to_wait_is_to_drain_without_end(server):
    (server / "answers").write_text(OUTLAST)
    assert steps("wait").drain("3.3.2", 30, "upgrade") is False
    assert words(server)[-1] == "drain --to 3.3.2 --kind upgrade"


def test_to_stop_them_is_told_to_the_next_step(server):
    (server / "answers").write_text(OUTLAST)
    assert steps("stop").drain("3.3.2", 30, "upgrade") is True


def test_a_step_that_fails_says_why(server):
    (server / "answers").write_text("printf 'mlops: no room\\nfix: make some\\n' >&2; exit 1\n")
    with pytest.raises(ApplyError, match=r"^no room$") as error:
        steps().must("begin")
    assert (error.value.detail, error.value.fix) == ("", "make some")


def test_the_reason_goes_to_the_server(server):
    (server / "answers").write_text(f'[ "$1" != fail ] || cat > {server}/reason\n')
    with pytest.raises(ApplyError), upgrading.reason(steps()):
        raise ApplyError("the migration failed")
    assert (server / "reason").read_text() == "the migration failed"


def test_a_failed_upgrade_tells_what_failed_and_how_the_server_is(server, monkeypatch):
    (server / "answers").write_text("echo going back\n")
    monkeypatch.setattr(upgrading, "ended", lambda _: {"message": "Airflow 3.2.2 runs again"})
    error = upgrading.went_back(steps(), UPGRADE, ApplyError("pg_dump failed", detail="no space"))
    assert error.message == "the upgrade to Airflow 3.3.2 was given up: pg_dump failed"
    assert error.detail == "no space\nAirflow 3.2.2 runs again"
    assert "/var/log/mlops/upgrade.log" in error.fix


def test_no_step_begins_when_the_run_lock_went_to_somebody_else(server):
    (server / "holder").write_text("us since then\n")
    ours = upgrading.Steps(Here(), lambda: "give-up", "us since then")
    ours.must("commit")
    (server / "holder").write_text("the guard of an upgrade that goes back\n")
    with pytest.raises(ApplyError, match="the run lock was lost to the guard of an upgrade"):
        ours.must("commit")
    assert words(server) == ["commit"]


def test_what_grows_with_each_run_is_cut(tmp_path):
    log, history = tmp_path / "install.log", tmp_path / "state/history.jsonl"
    given = {"run": tmp_path / "run", "who": "me", "lease": 1, "wait": 1, "run_id": "me",
             "log": log, "log_bytes": 100, "most": 20}  # fmt: skip
    script = runlock.SCRIPT.format(**given).replace("/var/lib/mlops", str(history.parent))

    def run() -> str:
        words = ["bash", "-c", script]
        done = subprocess.run(words, input="done x\n", capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return done.stdout.strip()

    assert run() == "mine"
    log.write_text("a" * 101)
    history.write_text("".join(f"{n}\n" for n in range(21)))
    assert run() == "mine me"
    assert history.read_text().split() == [*map(str, range(11, 21)), "x"]
    assert not log.exists()
    assert log.with_name("install.log.1").read_text() == "a" * 101
    run()
    assert log.with_name("install.log.1").exists()
