"""A database that the wanted Airflow cannot take over is refused before anything is planned."""

import pytest
from mlops_install import context, facts, schema
from mlops_install.airflowversion import airflow_version
from mlops_install.config import parse
from mlops_install.errors import PreflightError
from mlops_install.roles import stages
from mlops_install.settings import Config
from samples import FACTS

HEAD_OF_2_11 = "5f2621c13b39"  # set by 2.10.3, the last one of Airflow 2
FIRST_OF_3_3 = "a4c2d171ae18"


def server(**changes: str) -> facts.Facts:
    return facts.parse(FACTS + "".join(f"{key}={value}\n" for key, value in changes.items()))


def wanted(version: str) -> Config:
    return parse(f'[airflow]\nversion = "{version}"\n', "t")


def refusal(version: str, **schema_of: str) -> PreflightError:
    with pytest.raises(PreflightError) as caught:
        schema.check(wanted(version), server(**schema_of))
    return caught.value


@pytest.mark.parametrize("version", ["3.1.8", "3.2.2", "3.3.1", "3.3.2"])
def test_an_empty_server_and_every_older_line_are_taken(version):
    schema.check(wanted(version), server())
    for older in ("3.1.8", "3.2.2", "3.3.1", "3.3.2"):
        if older <= version:
            schema.check(wanted(version), server(**airflow_version(older).heads))


def test_a_migration_that_was_interrupted_is_taken_up_again():
    schema.check(wanted("3.3.2"), server(alembic_version=FIRST_OF_3_3))


def test_airflow_2_is_refused_with_the_ways_out():
    error = refusal("3.3.2", alembic_version=HEAD_OF_2_11)
    assert "Airflow 2" in error.message
    assert "2.10.3" in error.message
    assert "airflow connections export" in error.fix
    assert "airflow db migrate" in error.fix


def test_an_older_version_than_what_is_there_is_refused_with_the_way_back():
    error = refusal("3.1.8", **airflow_version("3.3.2").heads)
    assert "Airflow 3.3.1 or newer, and 3.1.8 is wanted" in error.message
    assert 'set version = "3.3.2"' in error.fix
    assert "mlops-install rollback airflow" in error.fix


def test_the_same_schema_may_go_back_by_the_config():
    schema.check(wanted("3.3.1"), server(**airflow_version("3.3.2").heads))


@pytest.mark.parametrize("table", ["alembic_version", "alembic_version_fab"])
def test_a_schema_that_nobody_knows_is_refused(table):
    error = refusal("3.3.2", **{table: "0123456789ab"})
    assert f"{table}: 0123456789ab" in error.message
    assert "3.1.8, 3.2.2, 3.3.1, 3.3.2" in error.fix


def test_planning_refuses():
    with pytest.raises(PreflightError, match="Airflow 2"):
        stages(
            context.make(
                wanted("3.3.2"), server(alembic_version=HEAD_OF_2_11), context.Given(), "192.0.2.7"
            )
        )
