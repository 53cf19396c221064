"""The commit of the workflow repository that is in force, and what it needs."""

from collections.abc import Iterator
from dataclasses import dataclass

from mlops_server.layout import DIGITS, METADATA
from mlops_server.listing import COMMAND, CONTENTS

from mlops_install.resource import ABSENT, Resource, Run, Step
from mlops_install.resources.environment import ENVS, PROGRAM
from mlops_install.shell import sh


@dataclass(frozen=True)
class PulledState:
    """What is not as the commit has it, or as it was built: the release, environments."""

    changed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pulled(Resource[PulledState]):
    """A commit is in force, unchanged; which one is the business of the DAG that pulls.

    `current` is the link to the release in force: that of a commit says which one it is of, and
    that of a folder, from a time with [workflows] path, does not. One of an earlier installer does
    not say what it holds, and is not looked at.
    """

    current: str
    envs: str = ENVS

    @property
    def name(self) -> str:
        return "workflows from Git"

    @property
    def desired(self) -> PulledState:
        return PulledState()

    def probe(self) -> str:
        about = f'sed -n \'s/^ *"contents": "\\([0-9a-f]*\\)".*/\\1/p\' {METADATA}'
        return (
            f"cd {sh(self.current)}/ 2>/dev/null || exit {ABSENT}\n"
            f'grep -qs \'"commit": *"[0-9a-f]\' {METADATA} || exit {ABSENT}\n'
            f'contents=$({about})\n[ -z "$contents" ] || [ "$( {CONTENTS})" = "$contents" ] ||'
            " echo release\n"
            'for lock in models/*/conda-lock.yml; do\n[ -f "$lock" ] || continue\n'
            "model=${lock#*/}; model=${model%/*}\n"
            f'built={sh(self.envs)}/$model/$(sha256sum < "$lock" | head -c {DIGITS})\n'
            f'(cd "$built" 2>/dev/null && ({COMMAND}) | cmp -s - .mlops/files) ||'
            ' echo "environment $model"\ndone'
        )

    def parse(self, answer: str) -> PulledState:
        return PulledState(tuple(answer.splitlines()))

    def change(self, current: PulledState | None) -> Iterator[Step]:
        yield Run(sh(PROGRAM, "workflows", "repair" if current else "sync"))
