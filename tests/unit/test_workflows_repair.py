"""What was changed on the server in the release in force is found, and made anew."""

import json
import subprocess

import pytest
from mlops_install.resource import ABSENT
from mlops_install.resources.pulled import Pulled, PulledState
from mlops_server import listing
from mlops_server.layout import METADATA, lock_hash
from mlops_server.store import Model
from mlops_server.workflows import repairing
from upstream import Server, model

GOOD = {"dags/a.py": "a = 1\n", "dags/more/b.py": "b = 1\n", "dags/link.py": "-> a.py"}
CHANGES = {
    "a file is changed": "echo >> dags/a.py",
    "a file is gone": "rm dags/more/b.py",
    "a file is new": "touch dags/c.py",
    "a folder is new": "mkdir dags/none",
    "others may write": "chmod o+w dags/a.py",
    "others may add": "chmod 0777 dags",
    "a link leads elsewhere": "ln -sfn more/b.py dags/link.py",
    "a file is a link": "ln -sf more/b.py dags/a.py",
}


def found(server: Server) -> PulledState | None:
    """What a plan sees."""
    asked = Pulled(str(server.layout.current_release), str(server.layout.envs))
    done = subprocess.run(["bash", "-c", asked.probe()], capture_output=True, text=True)
    assert done.stderr == ""
    return None if done.returncode == ABSENT else asked.parse(done.stdout)


def test_a_release_that_nobody_changed_is_as_wanted(server, repo):
    assert found(server) is None, "there is none yet"
    repo.push(GOOD)
    server("sync")
    assert found(server) == Pulled("x").desired
    cache = server.layout.current_release / "dags/__pycache__"
    cache.mkdir()
    (cache / "a.pyc").touch()
    assert found(server) == Pulled("x").desired, "byte code does not count"


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_what_was_changed_is_found_and_made_anew(server, repo, change):
    commit = repo.push(GOOD)
    server("sync")
    release = server.layout.current_release
    before = listing.contents(release)
    subprocess.run(change, shell=True, cwd=release, check=True)
    assert found(server) == PulledState(("release",))
    assert "was changed: it is made anew" in server("repair")
    assert found(server) == PulledState()
    assert listing.contents(release) == before
    assert server.live() == commit
    assert json.loads((release / METADATA).read_text())["subject"] == "a change"
    names = [path.name for path in server.layout.releases.iterdir()]
    assert names == [commit[:12]], "nothing is left beside it"
    assert "made anew" not in server("repair")


def test_it_is_made_anew_without_the_server_of_the_repository(server, repo):
    repo.push(GOOD)
    server("sync")
    repo.bare.rename(repo.bare.with_name("away"))
    (server.layout.current_release / "dags/a.py").write_text("a = 2\n")
    server("repair")
    assert (server.layout.current_release / "dags/a.py").read_text() == "a = 1\n"


def test_the_commit_in_force_is_made_anew_and_no_newer_one(server, repo):
    commit = repo.push(GOOD)
    server("sync")
    repo.push({"dags/a.py": "a = 3\n"})
    (server.layout.current_release / "dags/a.py").write_text("a = 2\n")
    server("repair")
    assert server.live() == commit
    assert (server.layout.current_release / "dags/a.py").read_text() == "a = 1\n"


def test_a_release_that_does_not_say_what_it_is_comes_back_by_a_sync(server, repo):
    commit = repo.push(GOOD)
    server("sync")
    (server.layout.current_release / METADATA).unlink()
    assert found(server) is None
    server("sync")
    assert server.live() == commit
    assert found(server) == PulledState()


def test_a_release_of_an_earlier_installer_is_not_looked_at(server, repo):
    repo.push(GOOD)
    server("sync")
    about = server.layout.current_release / METADATA
    text = json.loads(about.read_text())
    del text["contents"]
    about.write_text(json.dumps(text, indent=1))
    (server.layout.current_release / "dags/a.py").write_text("a = 2\n")
    assert found(server) == PulledState()
    assert "made anew" not in server("repair")


def test_environments_of_the_release_are_built_again(server, repo, monkeypatch):
    files = model()
    lock = lock_hash(files["models/churn/conda-lock.yml"].encode())
    server.build("churn", files["models/churn/conda-lock.yml"])
    prefix = Model(server.layout, "churn").prefix(lock)
    listing.write(prefix)
    repo.push(GOOD | files)
    server.deploy()
    assert found(server) == PulledState()
    (prefix / "extra").touch()
    assert found(server) == PulledState(("environment churn",))
    asked = []
    monkeypatch.setattr(
        repairing, "build", lambda layout, name, lock, say: asked.append((name, lock))
    )
    server("repair")
    assert asked == [("churn", lock)]
    (server.layout.envs / "churn" / lock).unlink()
    assert found(server) == PulledState(("environment churn",))


def test_without_a_commit_in_force_there_is_nothing_to_repair(server, repo):
    assert "no commit is in force" in server("repair", code=1)
