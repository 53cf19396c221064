"""Boxes for the end-to-end tests: bare ones on demand, and copies of provisioned ones.

The tests of a file share the copy of a system. A test that breaks it puts it right by `apply`, so
that tests run in any order; after one that failed the next gets a new copy.
"""

import os
import random
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlops_install import box
from xdist.scheduler import LoadScopeScheduling

sys.path.insert(0, str(Path(__file__).parent))  # for the tests: `from server import ...`

import channel
import ledger
import shared
from server import Server, make

# Here, since processes side by side must agree on it.
os.environ["CHAOS_SEED"] = os.environ.get("CHAOS_SEED") or str(random.randrange(10**6))

# The order on a machine that has not run them yet: what takes longest begins first.
LONGEST = (
    "interrupted", "pull", "upgrade", "restarts", "models", "tasks", "backup", "starter", "verify",
    "uninstall", "provision", "vagrant", "walls", "box", "walls_tasks", "services",
)  # fmt: skip

REVERSIBLE = ("test_provision", "test_tasks", "test_restarts")


# Files whose tests share a server: short ones a copy of each system, and what is upgraded at last.
TOGETHER = {
    **dict.fromkeys(("test_bad_input", "test_settings", "test_wheel"), "together"),
    "test_older": "test_upgrade",
}


def scope(item: pytest.Item) -> str:
    """What the tests that share a copy have in common: their file (or all short ones), a system."""
    params = getattr(item, "callspec", None)
    return _scope(item.path.stem, str(params.params.get("system", "") if params else ""))


def _scope(file: str, system: str) -> str:
    return f"{TOGETHER.get(file, file)}:{system}"


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Side by side (-n). xdist's own loadgroup has no effect with pytest 9.2."""

    def _split_scope(self, nodeid: str) -> str:
        path, _, test = nodeid.partition("::")
        system = next((name for name in box.SYSTEMS if name in test.partition("[")[2]), "")
        return _scope(Path(path).stem, system)


def pytest_configure(config: pytest.Config) -> None:
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Touched files first, then what takes longest. The other way round on one system.

    So a test that relies on another one before it fails on one of them.
    """
    turns = _turns({scope(item): item.path for item in items})
    order = {item: number for number, item in enumerate(items)}

    def key(item: pytest.Item) -> tuple[int, int]:
        backwards = item.path.stem in REVERSIBLE and scope(item).endswith("debian-13")
        return turns[scope(item)], -order[item] if backwards else order[item]

    items.sort(key=key)


def _turns(scopes: dict[str, Path]) -> dict[str, int]:
    seconds, touched = ledger.known(), ledger.touched()
    guess = {f"test_{name}": 1000 - number for number, name in enumerate(LONGEST)}

    def key(name: str) -> tuple[bool, float]:
        return scopes[name] not in touched, -seconds.get(name, guess.get(scopes[name].stem, 0))

    return {name: turn for turn, name in enumerate(sorted(scopes, key=key))}


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling:
    return Scheduling(config, log)


# --- the account of what tests take -------------------------------------------------------

RUN = ledger.Ledger()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    item.user_properties.append(("began", (time.monotonic(), ledger.cpu())))
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    item.failed = getattr(item, "failed", False) or report.failed  # type: ignore[attr-defined]
    # A box that goes in the teardown takes its account along.
    item.cpu = max(getattr(item, "cpu", 0.0), ledger.cpu())  # type: ignore[attr-defined]
    if call.when == "teardown":
        begin, cpu = dict(item.user_properties)["began"]
        failed = item.failed  # type: ignore[attr-defined]
        outcome = "failed" if failed else report.outcome
        took = (time.monotonic() - begin, max(0.0, item.cpu - cpu))  # type: ignore[attr-defined]
        report.user_properties = [("row", (scope(item), item.nodeid, outcome, *took))]
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:  # the end may be far away
        print(f"\n{report.nodeid}: {report.longreprtext[-3000:]}", flush=True)
    if row := dict(report.user_properties).get("row"):
        RUN.rows.append(ledger.Row(*row))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in RUN.summary():
        terminalreporter.write_line(line)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In the process that began the run: nothing of it is left."""
    if os.getpid() == shared.OWNER:
        RUN.save()
        shutil.rmtree(shared.FOLDER, ignore_errors=True)


# --- servers ------------------------------------------------------------------------------


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


@pytest.fixture(params=list(box.SYSTEMS))
def system(request: pytest.FixtureRequest) -> str:
    """Both systems in turn; a module that needs one only parametrises this by itself."""
    return str(request.param)


@pytest.fixture(scope="session")
def copies(boxes_here: None, folder: Path) -> Iterator[shared.Copies]:
    """The running copies; those of a scope go with its last test."""
    made = shared.Copies(folder)
    COPIES.append(made)
    yield made
    made.discard(*made.made)


COPIES: list[shared.Copies] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    yield
    if nextitem and scope(nextitem) != scope(item):
        for copies in COPIES:
            copies.discard(*copies.made)


@pytest.fixture
def provisioned(
    system: str, copies: shared.Copies, request: pytest.FixtureRequest
) -> Iterator[Server]:
    """The provisioned server of the system. A test that breaks it must put it right."""
    yield copies.take(system)
    if request.node.failed:
        copies.discard(system)


@pytest.fixture(scope="session")
def conda_forge() -> channel.Server:
    """A mirror of conda-forge; CI must not leave the tests out that need it."""
    reason = channel.unavailable()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(f"CI must run the conda tests: {reason}")
    elif reason:
        pytest.skip(reason)
    return shared.conda_forge()


@pytest.fixture(scope="session")
def locked_project(conda_forge: channel.Server) -> Path:
    """A workflow project with its locks; copy it to change it."""
    return shared.locked_project()


@pytest.fixture
def tasks(provisioned: Server) -> Server:
    """The provisioned server once it knows the tests' own tasks and answers."""
    shared.ready(provisioned)
    return provisioned


@pytest.fixture
def computing() -> Iterator[None]:
    """For a test that provisions from nothing: it waits for one of the few places."""
    with shared.computing():
        yield


@pytest.fixture
def bare(boxes_here: None, system: str, folder: Path) -> Iterator[Server]:
    """A fresh box of the system for one test."""
    server = make(system, folder)
    yield server
    box.down(server.name)
