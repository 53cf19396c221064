"""DAG files as modules, in the processes that a task starts by `spawn` or `forkserver`.

Airflow loads a DAG file as the module `unusual_prefix_<SHA-1 of its path>_<its name>`, which
nothing but Airflow can import. A new process that is to call a function of the file dies of that,
and `multiprocessing.Pool` starts the next one for ever. Here it imports the file again; where that
fails, calls of its functions do, so that the task does.
"""

import hashlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

ADDRESSES = ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__CORE__SQL_ALCHEMY_CONN")
NAME = re.compile(r"unusual_prefix_([0-9a-f]{40})_")


class DagFile(SourceFileLoader):
    """Loads a DAG file, or a stand-in: an error now would only end this process."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the file."""
        try:
            super().exec_module(module)
        except Exception as error:
            reason = f"{self.path} cannot be imported by a new process: {error!r}"
            vars(module)["__getattr__"] = lambda name: partial(_fail, reason)


class DagFiles(MetaPathFinder):
    """Finds DAG files by the names that Airflow gives them."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The file below `sys.path` whose path has the hash that is in the name."""
        if not (named := NAME.match(name)):
            return None
        found = next((str(file) for file in _files() if _hash(file) == named[1]), None)
        return spec_from_file_location(name, loader=DagFile(name, found)) if found else None


def find_dag_files() -> None:
    """Make DAG files importable in this process."""
    sys.meta_path.append(DagFiles())
    # Airflow keeps a task from its database by an address that no new process can even read.
    for name in ADDRESSES:
        if os.environ.get(name, "").startswith("airflow-db-not-allowed"):
            os.environ[name] = "sqlite:////airflow-db-not-allowed"


def _fail(reason: str, *_: object, **__: object) -> None:
    raise ImportError(reason)


def _files() -> Iterator[Path]:
    # From the end: that is where Airflow puts the folder of the DAG files.
    for folder in reversed(sys.path):
        yield from Path(folder).rglob("*.py")


def _hash(file: Path) -> str:
    return hashlib.sha1(str(file).encode(), usedforsecurity=False).hexdigest()
