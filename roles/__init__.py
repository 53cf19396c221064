"""The order of work: stages one after another, the lanes of a stage side by side."""

from collections.abc import Iterable
from itertools import chain

from mlops_install import schema
from mlops_install.context import Context
from mlops_install.plan import Lane, Stage
from mlops_install.resource import AnyResource
from mlops_install.roles import airflow, base, models, postgres, proxy, workflows


def stages(context: Context) -> tuple[Stage, ...]:
    """Everything that is wanted of the server. Raises `PreflightError` when it must not be."""
    schema.check(context.config, context.facts)
    return (
        Stage(
            "prepare",
            (
                _lane(
                    "base",
                    chain(base.system(context, packages(context)), models.tools(context)),
                ),
            ),
        ),
        Stage(
            "build",
            (
                _lane("airflow", airflow.environment(context)),
                _lane("postgres", postgres.server(context)),
                _lane("base", base.habits(context)),
                _lane("proxy", proxy.certificate(context)),
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
                _lane("airflow", airflow.configuration(context)),
                _lane("workflows", chain(workflows.pull(context), workflows.switch(context))),
                _lane("proxy", proxy.site(context)),
            ),
        ),
        Stage(
            "start",
            (_lane("airflow", chain(airflow.services(context), workflows.first_pull(context))),),
        ),
    )


def packages(context: Context) -> tuple[str, ...]:
    """Every role's Debian packages, for one apt call."""
    roles = (base, postgres, airflow, proxy, workflows)
    wanted = (name for role in roles for name in role.packages(context))
    return tuple(sorted({*wanted, *context.config.base.packages}))


def _lane(name: str, resources: Iterable[AnyResource]) -> Lane:
    return Lane(name, tuple(resources))
