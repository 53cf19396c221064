"""Boxes for the end-to-end tests: bare ones on demand, and one provisioned per system.

A test that breaks a shared server puts it right by `apply`, so that tests run in any order.
"""

import os
import random
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mlops_install import box
from xdist.scheduler import LoadScopeScheduling

sys.path.insert(0, str(Path(__file__).parent))  # for the tests: `from server import ...`

import channel
import project
import walls
from server import PROGRAM, Server, answers, make, provision, run, wait_for

ROOT = Path(__file__).parents[2]
SHARES = re.compile(r"^def test_\w+\([^)]*\b(provisioned|tasks)\b", re.MULTILINE)
# Here, since processes side by side must agree on it.
os.environ["CHAOS_SEED"] = os.environ.get("CHAOS_SEED") or str(random.randrange(10**6))


# What takes longest begins first, so that no process waits long for the other's last file.
LONGEST = ("shared", *(f"test_{name}.py" for name in (
    "interrupted", "pull", "models", "backup", "upgrade", "starter", "uninstall", "vagrant",
    "walls", "services", "versions", "wheel",
)))  # fmt: skip


def scope(path: Path) -> str:
    """What the tests of a file stay together with: each other, or all that share a server."""
    return "shared" if SHARES.search(path.read_text()) else path.name


def turn(path: Path) -> int:
    found = scope(path)
    return LONGEST.index(found) if found in LONGEST else len(LONGEST)


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Side by side (-n 2). xdist's own loadgroup has no effect with pytest 9.2."""

    def _split_scope(self, nodeid: str) -> str:
        return scope(ROOT / nodeid.partition("::")[0])


def pytest_configure(config: pytest.Config) -> None:
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    turns = {path: turn(path) for path in {item.path for item in items}}
    items.sort(key=lambda item: turns[item.path])


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling:
    return Scheduling(config, log)


@pytest.fixture(scope="session")
def boxes_here() -> None:
    """Whether boxes can be made; CI must not leave these tests out."""
    reason = box.unavailable()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(f"CI must run the box tests: {reason}")
    elif reason:
        pytest.skip(reason)
    box.reap()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="session")
def farm(
    boxes_here: None, folder: Path, request: pytest.FixtureRequest
) -> Iterator[dict[str, Server]]:
    """The provisioned servers that the chosen tests need, made at the same time."""
    items = [i for i in request.session.items if "provisioned" in getattr(i, "fixturenames", ())]
    systems = sorted({item.callspec.params["system"] for item in items})  # type: ignore[attr-defined]
    with ThreadPoolExecutor() as pool:
        made = list(pool.map(lambda system: provision(system, folder), systems))
    yield dict(zip(systems, made, strict=True))
    for server in made:
        box.down(server.name)


@pytest.fixture(params=list(box.SYSTEMS))
def system(request: pytest.FixtureRequest) -> str:
    """Both systems in turn; a module that needs one only parametrises this by itself."""
    return str(request.param)


@pytest.fixture
def provisioned(system: str, farm: dict[str, Server]) -> Server:
    """The provisioned server of the system. A test that breaks it must put it right."""
    server = farm[system]
    assert server.applied
    assert server.applied.returncode == 0, server.applied.end
    return server


@pytest.fixture(scope="session")
def locked_project(folder: Path, conda_forge: channel.Server) -> Path:
    """A workflow project with its locks, made by `mlops-install lock`; copy it to change it."""
    made = folder / "project"
    project.write(made)
    config = folder / "lock.toml"
    config.write_text(
        f'[base]\npython_index = "{walls.upstream_index()}"\n'
        + project.CONFIG.format(project=made, channel=conda_forge.at("127.0.0.1"))
    )
    done = run([*PROGRAM, "lock", "-c", str(config)], folder)
    assert done.returncode == 0, done.end
    return made


@pytest.fixture
def tasks(provisioned: Server) -> Server:
    """The provisioned server once it knows the tests' own tasks and answers."""
    wait_for(lambda: answers(provisioned), "Airflow", 90)
    known = "select count(*) from dag where dag_id like 'e2e_%' and not is_stale"
    wait_for(lambda: provisioned.sql(known) == "2", "the tests' DAGs", 90)
    return provisioned


@pytest.fixture
def bare(boxes_here: None, system: str, folder: Path) -> Iterator[Server]:
    """A fresh box of the system for one test."""
    server = make(system, folder)
    yield server
    box.down(server.name)
