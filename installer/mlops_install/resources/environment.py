"""The conda environment of a model, built by the server's own package."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mlops_server.layout import DIGITS, SHORT
from mlops_server.listing import COMMAND

from mlops_install.resource import ABSENT, Put, Resource, Run, Step
from mlops_install.resources.file import Link, LinkState
from mlops_install.shell import sh

ENVS = "/opt/mlops/envs"
LOCKS = "/etc/mlops/locks"
PROGRAM = "/opt/mlops/bin/mlops"
SHOWN = 5


@dataclass(frozen=True)
class EnvironmentState:
    """The first paths that are not as they were built; none when all are."""

    changed: tuple[str, ...]


@dataclass(frozen=True)
class Environment(Resource[EnvironmentState]):
    """An environment of one lock.

    `lock_hash` names it; `sources` are conda-lock.yml, environment.yml and model.toml. One that
    was changed is built again beside itself: tasks that run from it keep it.
    """

    model: str
    lock_hash: str
    sources: tuple[tuple[str, bytes], ...] = field(repr=False)

    @property
    def name(self) -> str:
        return f"environment {self.model} {self.lock_hash}"

    @property
    def path(self) -> str:
        """Where it is: a link to the finished build."""
        return f"{ENVS}/{self.model}/{self.lock_hash}"

    @property
    def desired(self) -> EnvironmentState:
        return EnvironmentState(())

    def probe(self) -> str:
        return (
            f"cd {sh(self.path)} 2>/dev/null || exit {ABSENT}\n"
            "[ -f .mlops/files ] || { echo .mlops/files; exit; }\n"
            f"({COMMAND}) | cmp -s - .mlops/files ||\n"
            f"({COMMAND}) | LC_ALL=C comm -3 - .mlops/files |"
            f" sed 's/^\\t//; s/\\t.*//; s|^\\./||' | uniq | head -n {SHOWN}"
        )

    def parse(self, answer: str) -> EnvironmentState:
        return EnvironmentState(tuple(answer.split("\n")) if answer else ())

    def change(self, current: EnvironmentState | None) -> Iterator[Step]:
        folder = f"{LOCKS}/{self.model}/{self.lock_hash}"
        for name, content in self.sources:
            yield Put(f"{folder}/{name}", content)
        yield Run(sh(PROGRAM, "env", "build", self.model, self.lock_hash))


@dataclass(frozen=True)
class NamesState:
    """Links whose name is too short: model/lock."""

    short: tuple[str, ...]


@dataclass(frozen=True)
class LongNames(Resource[NamesState]):
    """Environments of earlier versions get names as long as those of today, beside their own.

    Whatever began with the old code, or came from a backup of its day, still finds the old names.
    """

    folder: str = ENVS

    @property
    def name(self) -> str:
        return "names of environments"

    @property
    def desired(self) -> NamesState:
        return NamesState(())

    def probe(self) -> str:
        return self._each('[ "$(readlink "$new")" = "$(readlink "$old")" ] || echo "$old"')

    def parse(self, answer: str) -> NamesState:
        return NamesState(tuple(answer.split()))

    def change(self, current: NamesState | None) -> Iterator[Step]:
        link = 'ln -sfn "$(readlink "$old")" "$new.mlops-new"; mv -fT "$new.mlops-new" "$new"'
        point = 'ln -sfn "${new##*/}" "$now.mlops-new"; mv -fT "$now.mlops-new" "$now"'
        yield Run(
            self._each(
                f'{link}\nnow=${{old%/*}}/current\n[ "$(readlink "$now")" != "${{old##*/}}" ] ||'
                f" {{ {point}; }}"
            ),
            title=f"longer names for the links in {self.folder}",
        )

    def _each(self, action: str) -> str:
        lock = '"$old/.mlops/conda-lock.yml"'
        return (
            f"cd {sh(self.folder)} 2>/dev/null || exit 0\n"
            f'for old in */{"?" * SHORT}; do\n[ -L "$old" ] && [ -f {lock} ] || continue\n'
            f"new=${{old%/*}}/$(sha256sum < {lock} | head -c {DIGITS})\n"
            f"{action}\ndone"
        )


@dataclass(frozen=True)
class CurrentEnvironment(Link):
    """The link `current` of a model, moved by the program that remembers when."""

    @property
    def name(self) -> str:
        return f"current environment {self.path.split('/')[-2]}"

    def change(self, current: LinkState | None) -> Iterator[Step]:
        yield Run(sh(PROGRAM, "env", "activate", self.path.split("/")[-2], self.target))
