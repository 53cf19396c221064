"""The order of work: stages one after another, the lanes of a stage side by side."""

from collections.abc import Iterable, Iterator
from itertools import chain

from mlops_install import schema
from mlops_install.context import Context
from mlops_install.plan import Lane, Stage
from mlops_install.resource import AnyResource
from mlops_install.resources.journal import Journal
from mlops_install.roles import (
    airflow,
    backup,
    base,
    models,
    postgres,
    proxy,
    upgrade,
    workflows,
)


def stages(context: Context) -> tuple[Stage, ...]:
    """Everything that is wanted of the server, and first the journal of it.

    Raises `PreflightError` when it must not be.
    """
    schema.check(context.config, context.facts)
    first, *others = _wanted(context)
    lanes = [lane for stage in (first, *others) for lane in stage.lanes]
    made = (made for lane in lanes for resource in lane.resources for made in resource.makes())
    begin = Journal(tuple(made) if context.facts.installed else ())
    base, *beside = first.lanes
    return (Stage(first.name, (_lane(base.name, (begin, *base.resources)), *beside)), *others)


def _wanted(context: Context) -> tuple[Stage, ...]:
    return (
        Stage("prepare", (_lane("base", _prepared(context)),)),
        Stage(
            "build",
            (
                _lane("packages", _installed(context)),
                _lane("airflow", _environment(context)),
                _lane("workflows", workflows.release(context)),
                *(
                    _lane(f"models {number}", lane)
                    for number, lane in enumerate(models.environments(context), 1)
                ),
            ),
        ),
        Stage(
            "configure",
            (
                *_configured(context),
                _lane("base", base.habits(context)),
                _lane("proxy", proxy.certificate(context)),  # nginx tries one that is given
                _lane("workflows", chain(workflows.pull(context), workflows.switch(context))),
                _lane("backup", backup.settings(context)),
            ),
        ),
        Stage(
            "start",
            (
                _lane("airflow", _start(context)),
                *_beside(context),
                _lane("backup", backup.timer(context)),
            ),
        ),
    )


def _environment(context: Context) -> Iterator[AnyResource]:
    """A first run has nothing to drain, and two cores that wait for apt."""
    if not _tools_first(context):
        yield from models.tools(context)
    yield from airflow.environment(context)
    if airflow.loads_dump(context):
        yield from airflow.configuration(context)


def _tools_first(context: Context) -> bool:
    """Whether the tools come before all lanes: those of models need them too."""
    project = context.given.project
    return not airflow.loads_dump(context) or bool(project and project.models)


def _configured(context: Context) -> Iterator[Lane]:
    if not airflow.loads_dump(context):
        together = chain(airflow.configuration(context), airflow.contents(context))
        yield _lane("airflow", together)


def _beside(context: Context) -> Iterator[Lane]:
    """What a first run does while Airflow starts: nobody asks nginx yet, the tables are there."""
    if airflow.loads_dump(context):
        yield _lane("proxy", proxy.site(context))
        yield _lane("database", airflow.contents(context))


def _start(context: Context) -> Iterator[AnyResource]:
    yield from airflow.api_server(context)
    if not airflow.loads_dump(context):
        yield from proxy.site(context)
    yield from airflow.services(context)
    yield from workflows.first_pull(context)


def _prepared(context: Context) -> Iterator[AnyResource]:
    yield from base.system(context)
    yield from proxy.walls(context)
    yield from postgres.walls(context)
    if _tools_first(context):
        yield from models.tools(context)
    yield from upgrade.guard(context)
    yield from backup.unfinished(context)


def _installed(context: Context) -> Iterator[AnyResource]:
    yield from base.installed(context, packages(context))
    yield from postgres.server(context)
    yield from airflow.tables(context)


def packages(context: Context) -> tuple[str, ...]:
    """Every role's Debian packages."""
    roles = (base, postgres, airflow, proxy, workflows, backup)
    wanted = (name for role in roles for name in role.packages(context))
    return tuple(sorted({*wanted, *context.config.base.packages}))


def _lane(name: str, resources: Iterable[AnyResource]) -> Lane:
    return Lane(name, tuple(resources))
