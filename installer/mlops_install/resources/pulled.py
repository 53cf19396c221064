"""The first pull of the workflow repository."""

from collections.abc import Iterator
from dataclasses import dataclass

from mlops_server.layout import METADATA

from mlops_install.resource import ABSENT, Resource, Run, Step
from mlops_install.resources.environment import PROGRAM
from mlops_install.shell import sh


@dataclass(frozen=True)
class PulledState:
    """Some commit of a repository is in force."""


@dataclass(frozen=True)
class Pulled(Resource[PulledState]):
    """A commit is in force; which one is the business of the DAG that pulls.

    `current` is the link to the release in force: that of a commit says which one it is of, and
    that of a folder, from a time with [workflows] path, does not.
    """

    current: str

    @property
    def name(self) -> str:
        return "workflows from Git"

    @property
    def desired(self) -> PulledState:
        return PulledState()

    def probe(self) -> str:
        return f'grep -qs \'"commit": *"[0-9a-f]\' {sh(self.current)}/{METADATA} || exit {ABSENT}'

    def parse(self, answer: str) -> PulledState:
        return PulledState()

    def change(self, current: PulledState | None) -> Iterator[Step]:
        yield Run(sh(PROGRAM, "workflows", "sync"))
