"""The first pull of the workflow repository."""

from collections.abc import Iterator
from dataclasses import dataclass

from mlops_install.resource import ABSENT, Resource, Run, Step
from mlops_install.resources.environment import PROGRAM
from mlops_install.shell import sh


@dataclass(frozen=True)
class PulledState:
    """Some commit of a repository is in force."""


@dataclass(frozen=True)
class Pulled(Resource[PulledState]):
    """A commit is in force; which one is the business of the DAG that pulls.

    `state` is the file in which the server's package keeps what it knows.
    """

    state: str

    @property
    def name(self) -> str:
        return "workflows from Git"

    @property
    def desired(self) -> PulledState:
        return PulledState()

    def probe(self) -> str:
        return f'grep -q \'"active": *"[0-9a-f]\' {sh(self.state)} 2>/dev/null || exit {ABSENT}'

    def parse(self, answer: str) -> PulledState:
        return PulledState()

    def change(self, current: PulledState | None) -> Iterator[Step]:
        yield Run(sh(PROGRAM, "workflows", "sync"))
