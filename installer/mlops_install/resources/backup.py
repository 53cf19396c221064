"""A restore that was broken off."""

from collections.abc import Iterator
from dataclasses import dataclass

from mlops_install.resource import ABSENT, Resource, Run, Step
from mlops_install.resources.environment import PROGRAM
from mlops_install.shell import sh


@dataclass(frozen=True)
class SwitchState:
    """A restore is in its switch: files and databases may not belong together."""


@dataclass(frozen=True)
class Switched(Resource[SwitchState]):
    """No restore is half way; the file `order` is there as long as one is."""

    order: str

    @property
    def name(self) -> str:
        return "restore ended"

    @property
    def desired(self) -> None:
        return None

    def probe(self) -> str:
        return f"test -e {sh(self.order)} || exit {ABSENT}"

    def parse(self, answer: str) -> SwitchState:
        return SwitchState()

    def change(self, current: SwitchState | None) -> Iterator[Step]:
        yield Run(sh(PROGRAM, "backup", "resume"))
