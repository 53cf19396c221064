"""Can the wanted Airflow take over the database that is there? Asked before anything is planned."""

from typing import get_args

from mlops_install.airflowversion import airflow_version
from mlops_install.errors import PreflightError
from mlops_install.facts import Facts
from mlops_install.settings import Airflow, Config

FROM_2 = (
    "upgrade it with Airflow's own tools first (to 2.11, then by `airflow db migrate` of a 3.x"
    " elsewhere), or start afresh and carry connections, variables and pools over by"
    " `airflow connections export` and the like; docs/versions.md tells how"
)
BACK = (
    'set version = "{newer}" in [airflow]; to go back to the version before,'
    " `mlops-install rollback airflow`, or restore a backup from before the upgrade"
)
FOREIGN = (
    "use an installer that knows it (this one: {known}), or restore a backup of a version that"
    " this one knows"
)


def check(config: Config, facts: Facts) -> None:
    """Raise `PreflightError` when the database is none that the wanted version migrates.

    One that is not there, or empty, is fine.
    """
    wanted = airflow_version(config.airflow.version)
    for table, found in facts.schema.items():
        since = wanted.revisions[table].get(found, "")
        if table == "alembic_version" and since.startswith("2."):
            raise PreflightError(
                f"the database is of Airflow 2 (its schema is that of {since}), which is not taken"
                " over; nothing was changed",
                fix=FROM_2,
            )
        if not since:
            raise _not_known(table, found, wanted.number)


def _not_known(table: str, found: str, wanted: str) -> PreflightError:
    numbers = get_args(Airflow.model_fields["version"].annotation)
    newer = [number for number in numbers if found in airflow_version(number).revisions[table]]
    if newer:
        return PreflightError(
            f"the database is of Airflow {newer[0]} or newer, and {wanted} is wanted, which cannot"
            " read it; nothing was changed",
            fix=BACK.format(newer=newer[-1]),
        )
    return PreflightError(
        f"the database has a schema ({table}: {found}) that Airflow {wanted} does not know;"
        " nothing was changed",
        fix=FOREIGN.format(known=", ".join(numbers)),
    )
