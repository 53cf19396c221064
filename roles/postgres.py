"""PostgreSQL: Debian's server, reachable over its socket only."""

from collections.abc import Iterator

from mlops_install.context import Context
from mlops_install.digest import short
from mlops_install.render import render
from mlops_install.resource import AnyResource
from mlops_install.resources.file import File
from mlops_install.resources.postgres import Cluster, Database, Role, Settings, TaskDatabase
from mlops_install.resources.systemd import Services, UnitFile
from mlops_install.roles.base import TASK_USER


def packages(context: Context) -> tuple[str, ...]:
    """Debian packages of this role."""
    return (f"postgresql-{context.facts.postgres_version}", "postgresql-common")


def walls(context: Context) -> Iterator[AnyResource]:
    """Of PostgreSQL itself; before its package, which starts it. A cluster of others stays so."""
    if context.facts.cluster not in context.facts.theirs:
        folder = f"postgresql@{context.facts.postgres_version}-main.service.d"
        path = f"/etc/systemd/system/{folder}/mlops-hardening.conf"
        yield UnitFile(path, render("postgres/hardening.conf"))


def server(context: Context) -> Iterator[AnyResource]:
    """A running server with Airflow's role and database."""
    version = context.facts.postgres_version
    theirs = context.facts.cluster in context.facts.theirs  # whose programs may come by TCP
    inputs = short(_settings(context, theirs, ""))
    yield Cluster(version)
    yield File(
        f"/etc/postgresql/{version}/main/conf.d/mlops.conf",
        _settings(context, theirs, inputs),
        owner="postgres",
        group="postgres",
    )
    yield Services("of PostgreSQL", {f"postgresql@{version}-main.service": "",
                                     "postgresql.service": ""})  # fmt: skip
    yield Settings(version, inputs)
    yield Role("airflow")
    yield Role(TASK_USER)
    yield Database("airflow", "airflow")
    yield TaskDatabase("workflows", TASK_USER)


def _settings(context: Context, tcp: bool, inputs: str) -> str:
    return render("postgres/mlops.conf", sizing=context.sizing, tcp=tcp, inputs=inputs)
