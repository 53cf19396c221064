"""What differs between the versions of Airflow: lock, schema, options. Read from `locks/`."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from mlops_install import locks

OPTION = re.compile(r"^(?:#.*\n)*(\w+) *=.*\n(?:[ \t]+.*\n)*", re.MULTILINE)


@dataclass(frozen=True)
class AirflowVersion:
    """A version that we install.

    `requirements` is the text of its lock; `heads` the revisions of a migrated database by table;
    `revisions` those that it migrates from, and the version that each came with; `lacks` the
    options of our airflow.cfg, as section.option, that it does not know yet.
    """

    number: str
    requirements: str
    heads: Mapping[str, str]
    revisions: Mapping[str, Mapping[str, str]]
    lacks: frozenset[str]

    def configuration(self, text: str) -> str:
        """An airflow.cfg without the options that it lacks, and the comments right above them."""

        def kept(option: re.Match[str]) -> str:
            section = text[: option.start()].rpartition("\n[")[2].partition("]")[0]
            return "" if f"{section}.{option[1]}" in self.lacks else option[0]

        return OPTION.sub(kept, text)


@cache
def airflow_version(number: str) -> AirflowVersion:
    """The version of that number."""
    lock = json.loads(locks.read(f"airflow-{number}.json"))
    return AirflowVersion(
        number,
        locks.read(f"airflow-{number}.txt"),
        {key: value for key, value in lock.items() if key.startswith("alembic")},
        lock["revisions"],
        frozenset(lock["lacks"]),
    )
