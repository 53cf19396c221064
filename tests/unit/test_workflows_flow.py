"""From commit to commit: activation, rollback, clean-up, and commands that are killed."""

import fcntl
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlops_server.cli import main
from mlops_server.disk import point
from mlops_server.layout import DIGITS, METADATA, lock_hash
from mlops_server.store import held
from mlops_server.workflows import activation, gate, state
from mlops_server.workflows.commands import Commands
from upstream import Server, Upstream, model

GOOD = {"dags/a.py": "a = 1\n"}


def deployed(server: Server, repo: Upstream, number: int) -> str:
    """Push a commit with a lock of its own and bring it into force."""
    files = model(number=number)
    server.build("churn", files["models/churn/conda-lock.yml"])
    commit = repo.push(GOOD | files | {"dags/n.py": f"n = {number}\n"})
    server.deploy()
    assert server.live() == commit
    return commit


def test_a_commit_comes_into_force(server, repo):
    files = model()
    commit = repo.push(GOOD | files)
    server.fetch()
    (found,) = json.loads(server("models", "--json"))
    assert found["model"] == "churn"
    assert not found["built"]
    source = server.layout.locks / "churn" / found["lock_hash"]
    assert {p.name for p in source.iterdir()} == {"conda-lock.yml", "environment.yml", "model.toml"}
    assert "is not checked" in server("activate", code=1)
    server("check")
    assert f"the environment of model churn ({found['lock_hash']}) is not built" in server(
        "activate", code=1
    )
    assert not server.layout.current_release.exists()
    server.build("churn", files["models/churn/conda-lock.yml"])
    assert json.loads(server("models", "--json"))[0]["built"]
    before = time.time() - 1
    server("activate")
    assert server.live() == commit
    assert os.readlink(server.layout.current_release) == f"releases/{commit[:12]}"
    assert os.readlink(server.layout.envs / "churn/current") == found["lock_hash"]
    assert (server.layout.current_release / "dags/a.py").stat().st_mtime > before
    assert server.state()["candidate"] is None
    assert server.fetch()["reason"] == "nothing new"
    assert json.loads(server("models", "--json")) == []
    assert "no candidate" in server("activate")
    assert "no candidate" in server("check")


def test_sync_does_it_all(server, repo, monkeypatch):
    commit = repo.push(GOOD)
    assert f"{commit[:12]} is in force" in server("sync")
    assert "nothing new" in server("sync")


def test_the_gate_keeps_a_commit_out(server, repo, monkeypatch):
    good = deployed(server, repo, 1)
    reasons = ["dags/b.py: SyntaxError:\n line 1", "another", "a third"]
    monkeypatch.setattr(gate, "check", lambda layout, release, commit, say: reasons)
    bad = repo.push({"dags/b.py": "1 +"})
    server("fetch")
    said = server("check", code=3).splitlines()
    assert said[-3:] == [
        "another",
        "a third",
        f"mlops: commit {bad[:12]} is rejected: dags/b.py: SyntaxError: line 1 (and 2 more)",
    ]
    assert server.live() == good
    assert server.state()["rejected"][bad]["step"] == "check"
    assert "looked at already" in server("sync", code=3)
    assert "which is the newest" in server("status")
    assert "SyntaxError" in server("status")
    monkeypatch.setattr(gate, "check", lambda layout, release, commit, say: [])
    assert server.fetch("--again")["new"]
    server.deploy()
    assert server.live() == bad
    assert bad not in server.state()["rejected"]


def test_a_lock_that_can_never_be_built_keeps_its_commit_out(server, repo, monkeypatch):
    files = model()  # its lock has no version for python
    bad = repo.push(GOOD | files)
    last = server("sync", code=3).splitlines()[-1]
    start = f"mlops: commit {bad[:12]} is rejected: models/churn: "
    assert last.startswith(start)
    assert "python has no version" in last
    assert server.state()["rejected"][bad]["step"] == "prepare"
    lock = lock_hash(files["models/churn/conda-lock.yml"].encode())
    assert main(["env", "build", "churn", lock], server.layout, None) == 1
    repo.push(files | {"dags/b.py": ""})
    server.fetch()
    server("models")
    assert main(["env", "build", "churn", lock], server.layout, None) == 3


def test_a_new_commit_overtakes_one_that_is_being_checked(server, repo, monkeypatch):
    repo.push(GOOD)
    server.fetch()

    def overtaken(layout, release, commit, say):
        repo.push({"dags/b.py": ""})
        server.fetch()
        return []

    monkeypatch.setattr(gate, "check", overtaken)
    assert "is not the candidate any more" in server("check", code=75)
    assert server.state()["checked"] is None


def test_a_commit_that_another_command_brings_into_force_meanwhile(server, repo, monkeypatch):
    commit = repo.push(GOOD)
    monkeypatch.setattr(gate, "check", lambda layout, release, commit, say: [])
    judge = Commands._judge

    def overtaken(commands, commit, reasons):
        monkeypatch.setattr(Commands, "_judge", judge)
        judge(commands, commit, reasons)
        server("activate")
        judge(commands, commit, reasons)

    monkeypatch.setattr(Commands, "_judge", overtaken)
    server("sync")
    assert server.live() == commit


def test_rollback_holds_until_released(server, repo):
    a, b, c = (deployed(server, repo, number) for number in (1, 2, 3))
    assert "is in force, and held" in server("rollback")
    assert server.live() == b
    d = repo.push({"dags/d.py": ""})
    assert "is held by a rollback" in server.fetch()["reason"]
    assert "is held by a rollback" in server("sync")
    server("rollback")
    assert server.live() == a
    assert os.readlink(server.layout.envs / "churn/current") in os.listdir(
        server.layout.envs / "churn"
    )
    assert "no earlier release" in server("rollback", code=1)
    server("rollback", c[:8])
    assert server.live() == c
    assert "there is no release" in server("rollback", "ffffffff", code=1)
    assert "there is no release" in server("rollback", d[:8], code=1)
    assert "not held any more" in server("release")
    server.deploy()
    assert server.live() == d
    server("rollback")
    assert server.live() == c


def test_a_rollback_that_was_wrong_itself_is_not_gone_back_to(server, repo):
    a, bad, good = deployed(server, repo, 1), deployed(server, repo, 2), None
    server("rollback")
    server("release")
    good = deployed(server, repo, 3)
    server("rollback")
    assert server.live() == a != bad != good


def test_a_rollback_waits_for_no_fetch_and_no_gate(server, repo):
    first = deployed(server, repo, 1)
    deployed(server, repo, 2)
    folder = server.layout.workflows_state
    with held(folder / ".fetch.lock"), held(folder / ".check.lock"):
        start = time.perf_counter()
        server("rollback")
        assert time.perf_counter() - start < 1
    assert server.live() == first


def test_one_command_at_a_time(server, repo, monkeypatch):
    deployed(server, repo, 1)
    monkeypatch.setattr(state, "PATIENCE", 0.3)
    with held(server.layout.workflows_state / ".lock"):
        assert "another mlops command is still at work" in server("activate", code=75)
    with held(server.layout.workflows_state / ".fetch.lock"):
        assert "another mlops command is still at work" in server("fetch", code=75)


def test_clean_keeps_what_may_still_be_needed(server, repo):
    commits = [deployed(server, repo, number) for number in range(6)]
    server.configure(keep=2)
    oldest = server.layout.releases / commits[0][:12]
    in_use = server.layout.releases / commits[1][:12]
    candidate = repo.push({"dags/x.py": ""})
    server.fetch()
    (server.layout.releases / ".new-0123456789ab").mkdir()
    with (
        (oldest / ".mlops-release.json").open() as file,
        subprocess.Popen(["sleep", "60"], cwd=in_use / "dags") as sleeping,
    ):
        fcntl.flock(file, fcntl.LOCK_SH)
        said = server("clean")
        sleeping.kill()
    assert said.count("is in use, left alone") == 2
    left = {path.name for path in server.layout.releases.iterdir()}
    assert left == {c[:12] for c in (*commits[:2], *commits[3:], candidate)}
    server("clean")
    left = {path.name for path in server.layout.releases.iterdir()}
    assert left == {c[:12] for c in (*commits[3:], candidate)}
    assert len(list((server.layout.envs / "churn").glob("?" * DIGITS))) == 3
    server("rollback", commits[3][:8])
    server.configure(keep=0)
    server("clean")
    assert [path.name for path in server.layout.releases.iterdir()] == [commits[3][:12]]


def test_releases_of_apply_count_among_those_to_keep(server, repo):
    old = server.layout.releases / "0123456789ab"
    (old / "dags").mkdir(parents=True)
    (server.layout.releases / "empty/dags").mkdir(parents=True)
    server.layout.current_release.symlink_to(old)
    deployed(server, repo, 1)
    server.configure(keep=1)
    server("clean")
    assert old.is_dir()
    deployed(server, repo, 2)
    server("clean")
    assert not old.is_dir()
    assert (server.layout.releases / "empty").is_dir()


def test_status_and_key(server, repo):
    commit = deployed(server, repo, 1)
    assert "ssh-" not in server("status")
    key = server("key")
    assert key.startswith("ssh-ed25519 ")
    assert server("key") == key
    private = server.layout.deploy_key
    assert private.stat().st_mode & 0o777 == 0o600
    private.with_name("deploy_key.pub").unlink()
    assert server("key").split()[:2] == key.split()[:2]
    found = json.loads(server("status", "--json"))
    assert found["repository"] == str(repo.bare)
    assert found["active"]["commit"] == commit
    assert found["active"]["subject"] == "a change"
    assert found["candidate"] is found["held"] is None
    assert found["key"] == key


def test_a_damaged_state_is_told(server, repo):
    commit = deployed(server, repo, 1)
    path = server.layout.workflows_state / "state.json"
    path.write_text("{")
    assert f"remove {path}" in server("fetch", code=1)
    path.unlink()
    assert server.fetch()["reason"] == "nothing new"
    assert server.state()["active"] == commit


def by_apply(server) -> None:
    """The release of a folder comes into force, as `apply` does it for [workflows] path."""
    folder = server.layout.releases / ("f" * 12)
    (folder / "dags").mkdir(parents=True, exist_ok=True)
    point(server.layout.current_release, f"releases/{folder.name}")


def test_after_a_time_with_a_folder_the_repository_counts_again(server, repo):
    commit = deployed(server, repo, 1)
    by_apply(server)
    assert json.loads(server("status", "--json"))["active"] is None
    server.deploy()
    assert server.live() == commit
    assert [entry["commit"] for entry in server.state()["history"]] == [commit, commit]
    assert server.fetch()["reason"] == "nothing new"


def test_after_a_time_with_a_folder_what_was_held_is_held(server, repo):
    first, second = deployed(server, repo, 1), deployed(server, repo, 2)
    server("rollback")
    by_apply(server)
    server.deploy()
    assert server.live() == first
    assert server.state()["held"] == first
    by_apply(server)
    server("rollback", second[:12])
    assert server.live() == second


@pytest.mark.parametrize("text", ["repository = 1", "repo = 'x'", "ref = '../x'", "keep = -1", "["])
def test_settings_that_will_not_do(server, text):
    server.layout.workflows_config.write_text(text)
    assert "fix: correct [workflows]" in server("fetch", code=1)


# --- killed ---------------------------------------------------------------------------------

MOMENTS = {  # what is about to be called when the kill comes
    "fetch": (
        "mlops_server.workflows.git.Repository.fetch",
        "mlops_server.workflows.release.Maker._write",
        "mlops_server.workflows.fetching.models",
        "mlops_server.takeover.take",
        "mlops_server.workflows.mirrors.keep",
        "mlops_server.workflows.fetching.sync",
        "mlops_server.workflows.state.save",
        "mlops_server.disk.sync",
    ),
    "models": ("mlops_server.workflows.activation.sync",),
    "activate": (
        "mlops_server.workflows.activation.point",
        "mlops_server.workflows.activation._touch",
        "mlops_server.workflows.state.save",
        "mlops_server.disk.sync",
    ),
    "rollback": (
        "mlops_server.workflows.activation.point",
        "mlops_server.workflows.activation._touch",
        "mlops_server.workflows.commands.save",
        "mlops_server.workflows.state.save",
        "mlops_server.disk.sync",
    ),
    "clean": (
        "mlops_server.workflows.activation.remove",
        "mlops_server.workflows.mirrors.tidy",
    ),
}
KILLED = """
import importlib, os, signal, sys
from pathlib import Path
from mlops_server.cli import main
from mlops_server.layout import Layout
from mlops_server.workflows import gate
gate.check = lambda *words: []
name, times = sys.argv[2], int(sys.argv[3])
module, part = name.rsplit(".", 1)
try:
    owner = importlib.import_module(module)
except ModuleNotFoundError:
    module, middle = module.rsplit(".", 1)
    owner = getattr(importlib.import_module(module), middle)
real, left = getattr(owner, part), [times]
def killed(*given, **named):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*given, **named)
setattr(owner, part, killed)
sys.exit(main(["workflows", *sys.argv[4:]], Layout(Path(sys.argv[1])), None))
"""


LATER = ("mlops_server.workflows.state.save", "mlops_server.disk.sync")


@pytest.mark.parametrize(
    ("word", "name", "times"),
    [
        (word, name, times)
        for word, names in MOMENTS.items()
        for name in names
        for times in ((0, 1) if name in LATER else (0,))
    ],
)
def test_a_killed_command_is_simply_run_again(server, repo, word, name, times):
    first = deployed(server, repo, 1)
    before = deployed(server, repo, 2)
    files = model(number=3)
    server.build("churn", files["models/churn/conda-lock.yml"])
    new = repo.push(files)
    for step in ("fetch", "models", "check", "activate", "clean"):
        if step == word or word == "rollback":
            break
        server(step)
    words = [sys.executable, "-c", KILLED, str(server.layout.root), name, str(times), word]
    code = subprocess.run(words, capture_output=True, check=False).returncode
    assert code == -signal.SIGKILL or times
    assert server.live() in (first, before, new)
    if word == "rollback":
        if server.state()["held"] != first or server.state()["returning"]:
            server("rollback")
        assert server.live() == first
        server("release")
    server.deploy()
    server("clean")
    assert server.live() == new
    assert json.loads(server("status", "--json"))["active"]["commit"] == new
    assert server.state()["active"] == new
    assert not [p for p in server.layout.releases.iterdir() if p.name.startswith(".")]
    commits = [entry["commit"] for entry in server.state()["history"]]
    assert commits == ([first, before, first, new] if word == "rollback" else [first, before, new])


def test_kills_at_any_moment(server, repo):
    repo.push(GOOD)
    for number in range(4):
        new = repo.push({"dags/many.py": f"n = {number}\n" + "#" * 100_000})
        for delay in (0.15, 0.25, 0.35, 0.5):
            process = multiprocessing.get_context("fork").Process(target=_quiet, args=(server,))
            process.start()
            time.sleep(delay + number / 50)
            process.kill()
            process.join()
        server.deploy()
        assert server.live() == new
        folder = server.layout.current_release
        assert (folder / "dags/many.py").read_text().startswith(f"n = {number}\n")


def _quiet(server: Server) -> None:
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    main(["workflows", "sync"], server.layout, None)
    os._exit(0)


def test_releases_to_go_back_to_are_in_order_whatever_the_clock_said(server):
    """The clock was years ahead for the first, and behind for the last."""
    names = [f"{n:x}" * 12 for n in range(1, 6)]
    for name in names[:4]:
        folder = server.layout.releases / name
        folder.mkdir(parents=True)
        (folder / METADATA).write_text(json.dumps({"commit": name + "0" * 28}))
    given = server.layout.releases / names[4]
    given.mkdir()
    os.utime(given, (1_767_225_600,) * 2)  # of 2026, by `apply`
    times = ("2031-01-01", "2026-03-01", "2025-01-01", "1970-01-01")
    history = [
        {"commit": name + "0" * 28, "at": f"{at}T00:00:00Z", "rollback": False}
        for name, at in zip(names, times, strict=False)
    ]
    found = activation.kept(server.layout, state.State(history=history))
    in_order = [path.name for path in found if path != given]
    assert in_order == [names[3], names[2], names[1], names[0]]
