"""The workflows: a release of DAGs and models, and the link to the one in force."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mlops_install.context import Context
from mlops_install.resource import AnyResource, Run, Step
from mlops_install.resources.environment import ENVS, PROGRAM, CurrentEnvironment
from mlops_install.resources.file import Directory, FirstLink, Link, LinkState
from mlops_install.resources.tree import Tree, tree_digest
from mlops_install.shell import sh

WORKFLOWS = "/srv/mlops/workflows"
RELEASES = f"{WORKFLOWS}/releases"
CURRENT = f"{WORKFLOWS}/current"
EMPTY = f"{RELEASES}/empty"


def release(context: Context) -> Iterator[AnyResource]:
    """The folders, and the project's files as a release; `current` is not moved yet."""
    for path in ("/srv/mlops", WORKFLOWS, RELEASES, EMPTY, f"{EMPTY}/dags"):
        yield Directory(path)
    yield Directory("/srv/mlops/data", 0o750, "airflow", "airflow")
    if context.given.project is not None:
        yield Tree(_path(context), context.given.project.files, "release")


def switch(context: Context) -> Iterator[AnyResource]:
    """Environments and release come into force; then what nobody needs any more goes."""
    project = context.given.project
    if project is None:
        yield FirstLink(CURRENT, EMPTY)
        return
    for model in project.models:
        yield CurrentEnvironment(f"{ENVS}/{model.name}/current", model.lock_hash)
    keep, keep_environments = context.config.workflows.keep, context.config.models.keep
    yield CurrentRelease(CURRENT, _path(context), keep=keep, keep_environments=keep_environments)


@dataclass(frozen=True)
class CurrentRelease(Link):
    """The link to the release in force. Older ones go when it moves: `keep` of them stay."""

    keep: int = field(kw_only=True)
    keep_environments: int = field(kw_only=True)

    def change(self, current: LinkState | None) -> Iterator[Step]:
        yield Run(sh("touch", self.target))
        yield from super().change(current)
        yield Run(
            f"ls -1dt {RELEASES}/[0-9a-f]* | tail -n +{self.keep + 2} | xargs -rd '\\n' rm -rf",
            title=f"remove releases but the last {self.keep + 1}",
        )
        yield Run(sh(PROGRAM, "env", "clean", "--keep", self.keep_environments))


def _path(context: Context) -> str:
    project = context.given.project
    return EMPTY if project is None else f"{RELEASES}/{tree_digest(project.files)[:12]}"
