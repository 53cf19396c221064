"""What the processes of one test run share: servers that are provisioned once, and places to work.

A server is provisioned from nothing once per system, examined, and frozen; each test file starts
from a copy of it, which boots in seconds. Everything here belongs to the process that began the
run (`OWNER`) and goes when that is gone.
"""

import fcntl
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import channel
import project
import walls
from mlops_install import box
from mlops_install.box import tools
from server import CONFIG, PROGRAM, Done, Server, answers, make, name, provision, run, wait_for

# A DAG has a row some time before it can be run.
RUNNABLE = "select count(distinct dag_id) from dag join serialized_dag using (dag_id) where"
KNOWN = f"{RUNNABLE} dag_id like 'e2e_%' and not is_stale"
COMPUTERS = 2
"""How many servers are provisioned from nothing at a time: the cores of a small machine."""
# The first process sets these; those that it starts inherit them.
if "E2E_FOLDER" not in os.environ:
    os.environ["E2E_FOLDER"] = tempfile.mkdtemp(prefix="e2e-")
    os.environ["E2E_OWNER"] = str(os.getpid())
FOLDER, OWNER = Path(os.environ["E2E_FOLDER"]), int(os.environ["E2E_OWNER"])


@dataclass(frozen=True)
class Frozen:
    """A provisioned server as its copies need it.

    `address` is that of the first box: the name of the server stays what it was when it was
    provisioned. `applied` is the run that did it, `command_lines` what was seen on the machine
    meanwhile.
    """

    name: str
    system: str
    address: str
    config: str
    applied: Done
    command_lines: frozenset[str]


def plain(system: str) -> Frozen:
    """A server with the tests' own tasks in it."""

    def make_it(folder: Path) -> Frozen:
        server = provision(system, folder)  # at once: half of all tests wait for it
        assert server.applied.returncode == 0, server.applied.end
        ready(server)
        return _freeze(server)

    return once(f"plain-{system}", make_it)


def ready(server: Server) -> None:
    """Wait until Airflow answers and knows the tests' own tasks."""
    wait_for(lambda: answers(server), "Airflow", 300)
    wait_for(lambda: server.sql(KNOWN) == "2", "the tests' DAGs", 300)


def with_project(system: str) -> Frozen:
    """The plain server after `[workflows] path` was set to the tests' project."""

    def make_it(folder: Path) -> Frozen:
        server = copy(plain(system), folder)
        server.want(project.config(locked_project(), conda_forge()))
        server.applied = server.cli("apply", "--yes")
        assert server.applied.returncode == 0, server.applied.end
        return _freeze(server)

    return once(f"project-{system}", make_it)


def _freeze(server: Server) -> Frozen:
    box.freeze(server.name, OWNER)
    text = server.config.read_text()
    seen = frozenset(server.command_lines)
    return Frozen(server.name, server.box.system, server.address, text, server.applied, seen)


def copy(frozen: Frozen, folder: Path) -> Server:
    """A running copy, as after a reboot, that dies with this process."""
    new = name()
    made = box.up(new, frozen.system, ephemeral=True, frozen=frozen.name)
    server = Server(made, folder / new, frozen.applied, set(frozen.command_lines), frozen.address)
    server.config.write_text(frozen.config)
    wait_for(lambda: answers(server), "Airflow", 300)
    return server


def config_of(version: str, drain_timeout: int = 120) -> str:
    """The usual config with a version of Airflow."""
    text = CONFIG.replace("[airflow]\n", f'[airflow]\nversion = "{version}"\n')
    return text.replace("drain_timeout = 300", f"drain_timeout = {drain_timeout}")


def _with_version(version: str, folder: Path) -> Server:
    """A server that was provisioned with a version of Airflow, whether that ended well or not."""
    server = make("debian-12" if version == "3.2.2" else "debian-13", folder)
    server.config.write_text(config_of(version))
    with computing():
        server.applied = server.cli("apply", "--yes")
    return server


def for_copy(command: str, server: Server) -> str:
    """What the run that provisioned the plain server told people to type, for a copy of it."""
    first = plain(server.box.system).name
    folder = FOLDER / f"plain-{server.box.system}" / first
    return command.replace(str(folder), str(server.folder)).replace(first, server.name)


@dataclass
class Copies:
    """The copies of provisioned servers that the tests of a file share, by system."""

    folder: Path
    made: dict[str, Server] = field(default_factory=dict)

    def take(self, system: str) -> Server:
        """The copy of the plain server of the system."""
        if system not in self.made:
            self.made[system] = copy(plain(system), self.folder)
        return self.made[system]

    def older(self, version: str) -> Server:
        """The server with that version of Airflow: no copy, and none but the tests of it ask."""
        if version not in self.made:
            self.made[version] = _with_version(version, self.folder)
        return self.made[version]

    def discard(self, *names: str) -> None:
        """Remove servers, by system or version; the next test gets a new one."""
        for one in names:
            box.down(self.made.pop(one).name)


def locked_project() -> Path:
    """A workflow project with its locks, made by `mlops-install lock`; copy it to change it."""

    def make_it(folder: Path) -> Path:
        made, config = folder / "project", folder / "lock.toml"
        project.write(made)
        index = f'[base]\npython_index = "{walls.upstream_index()}"\n'
        config.write_text(index + project.config(made, conda_forge(), "127.0.0.1"))
        done = run([*PROGRAM, "lock", "-c", str(config)], folder)
        assert done.returncode == 0, done.end
        return made

    return once("project", make_it)


def conda_forge() -> channel.Server:
    """A mirror of conda-forge for all boxes, on one port for the whole run."""

    def make_it(folder: Path) -> channel.Server:
        words = [sys.executable, str(Path(channel.__file__).parent), "serve"]
        words += ["--address", "0.0.0.0", "--while-process", str(OWNER)]
        out = folder / "url"
        with out.open("w") as file:
            subprocess.Popen(words, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
        wait_for(lambda: "\n[mirrors]" in out.read_text(), "the conda channel", 300)
        line = next(line for line in out.read_text().splitlines() if line.startswith("http"))
        return channel.Server(line, int(line.rpartition(":")[2].partition("/")[0]))

    return once("channel", make_it)


def once(what: str, make_it: Callable[[Path], Any]) -> Any:
    """What `make_it` returned in the first process that asked; a failure is everybody's."""
    folder = FOLDER / what
    with tools.locked(FOLDER / f"{what}.lock"):
        if not folder.exists():
            folder.mkdir()
            try:
                _keep(folder, make_it(folder))
            except BaseException as error:
                _keep(folder, AssertionError(f"{what} could not be made: {error}"))
                raise
    found = pickle.loads((folder / "made").read_bytes())
    if isinstance(found, AssertionError):
        raise found
    return found


def _keep(folder: Path, made: object) -> None:
    (folder / "made").write_bytes(pickle.dumps(made))


@contextmanager
def computing() -> Iterator[None]:
    """Hold one of the few places for what keeps the processors busy for long.

    Tests that mostly wait need none, so more tests run side by side than there are cores.
    """
    files = [(FOLDER / f"computer-{number}").open("w") for number in range(COMPUTERS)]
    try:
        while not any(map(_taken, files)):
            time.sleep(0.2)
        yield
    finally:
        for file in files:
            file.close()


def _taken(file: Any) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
