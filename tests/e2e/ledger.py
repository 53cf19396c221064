"""What each test took in earlier runs on this machine, to begin with what takes longest.

One row per test and run in an SQLite file. `cpu` counts the test's process with its children and
its boxes, so a test that took much longer than that has waited.
"""

import os
import resource
import sqlite3
import subprocess
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from mlops_install.box import proc, state

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlops-install"
FILE = CACHE / "tests.sqlite"
TABLE = """\
create table if not exists tests (
  began real, scope text, test text, outcome text, seconds real, cpu real
)"""


@dataclass(frozen=True)
class Row:
    """A test of one run. `seconds` and `cpu` (seconds of processors) with its set-up."""

    scope: str
    test: str
    outcome: str
    seconds: float
    cpu: float


@dataclass
class Ledger:
    """The rows of this run, as they come."""

    began: float = field(default_factory=time.time)
    rows: list[Row] = field(default_factory=list)

    def save(self) -> None:
        """Add this run to the file."""
        rows = [(self.began, r.scope, r.test, r.outcome, r.seconds, r.cpu) for r in self.rows]
        with closing(_open()) as database, database:
            database.executemany("insert into tests values (?, ?, ?, ?, ?, ?)", rows)

    def summary(self, number: int = 25) -> Iterable[str]:
        """The slowest tests, and how much of the time they waited."""
        slowest = sorted(self.rows, key=lambda row: -row.seconds)[:number]
        yield f"slowest {len(slowest)}: seconds, of which waiting, outcome, test"
        for row in slowest:
            waiting = 1 - min(1, row.cpu / row.seconds) if row.seconds else 0
            yield f"{row.seconds:6.0f} {waiting:5.0%} {row.outcome:7} {row.test}"


def known() -> dict[str, float]:
    """Seconds of each scope: the mean of its earlier runs."""
    query = (
        "select scope, avg(total) from (select scope, sum(seconds) as total from tests"
        " group by began, scope) group by scope"
    )
    try:
        with closing(_open()) as database:
            return dict(database.execute(query))
    except sqlite3.Error:
        return {}  # a file that cannot be read is no reason to run no tests


def _open() -> sqlite3.Connection:
    CACHE.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(FILE)
    database.execute(TABLE)
    return database


def touched() -> set[Path]:
    """Test files that differ from the last commit; they run first."""
    words = ["git", "-C", str(ROOT), "status", "--porcelain", "--", "tests/e2e"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return {ROOT / line[3:].strip('"') for line in done.stdout.splitlines()}


def cpu() -> float:
    """Seconds of processors that this process, what it started, and its boxes have used."""
    own = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    names = [record.name for record in state.records() if record.owner == os.getpid()]
    return sum(used.ru_utime + used.ru_stime for used in own) + sum(map(_of_box, names))


def _of_box(name: str) -> float:
    for hierarchy in proc.hierarchies():
        try:
            text = (hierarchy / proc.GROUP / name / "cpu.stat").read_text()
        except OSError:
            continue
        return int(text.split()[1]) / 1e6
    return 0
