"""What differs between the versions of Airflow that can be installed."""

import re
from typing import get_args

import pytest
from mlops_install import locks
from mlops_install.airflowversion import airflow_version
from mlops_install.settings import Airflow

VERSIONS = get_args(Airflow.model_fields["version"].annotation)
TEXT = """\
# Of the file.

[core]
executor = LocalExecutor
# Why.
# More.
mp_start_method = fork
bundles = [
    {"a": 1}
  ]

[api]
# Its own comment.
server_type = gunicorn
secret_key_cmd = cat key
"""


@pytest.mark.parametrize("number", VERSIONS)
def test_a_lock_is_of_its_version_and_complete(number):
    version = airflow_version(number)
    assert f"apache-airflow=={number} \\\n" in version.requirements
    assert set(version.heads) == {"alembic_version", "alembic_version_fab"}
    pinned = re.findall(r"^([\w.-]+)==", version.requirements, re.M)
    for name in ("apache-airflow-providers-fab", "asyncpg", "psycopg2-binary"):
        assert name in pinned
    lines = version.requirements.splitlines()
    assert not [line for line in lines if "fab==" in line and "python" in line], "for every Python"


def test_the_newest_is_the_default_and_lacks_nothing():
    assert Airflow().version == max(VERSIONS) == VERSIONS[-1]
    assert airflow_version(VERSIONS[-1]).configuration(TEXT) == TEXT


def test_an_option_that_a_version_lacks_goes_with_its_comment():
    without = airflow_version("3.1.8").configuration(TEXT)
    assert without == TEXT.replace("# Why.\n# More.\nmp_start_method = fork\n", "").replace(
        "# Its own comment.\nserver_type = gunicorn\n", ""
    )


def test_a_patch_release_shares_the_schema_and_a_minor_one_does_not():
    heads = {number: airflow_version(number).heads["alembic_version"] for number in VERSIONS}
    assert heads["3.3.1"] == heads["3.3.2"]
    assert len({heads["3.1.8"], heads["3.2.2"], heads["3.3.2"]}) == 3


def test_old_versions_have_the_packages_of_their_day():
    assert locks.read("airflow-3.1.8.in").startswith("# newest: 2026-04-06\n")
    assert "sqlalchemy==2.0." in airflow_version("3.1.8").requirements
