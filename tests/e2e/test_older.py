"""The older versions of Airflow: installed, verified, and only what they can take over.

`make test` has the oldest one, `make versions-test` all; or name them: AIRFLOW_VERSIONS="3.2.2".
The server goes on to test_upgrade.py.
"""

import os

import pytest
import shared
from mlops_install.airflowversion import airflow_version
from server import Server

pytestmark = [pytest.mark.box, pytest.mark.slow]

CHOSEN = os.environ.get("AIRFLOW_VERSIONS", "3.1.8").split()
OURS = "python -P -m mlops_airflow.airflow"
SERVICES = {
    "airflow-dag-processor": f"{OURS} dag-processor",
    "airflow-triggerer": "airflow triggerer",
    "airflow-scheduler@1": f"{OURS} scheduler",
}
HEAD_OF_2_11 = "5f2621c13b39"
UNKNOWN_OPTIONS = """\
from configparser import RawConfigParser

from airflow.configuration import conf
from airflow.providers_manager import ProvidersManager

ours = RawConfigParser()
ours.read("/etc/mlops/airflow.cfg")
ProvidersManager().initialize_providers_configuration()
known = conf.configuration_description
for section in ours.sections():
    for option in ours[section]:
        if option.removesuffix("_cmd") not in known.get(section, {}).get("options", {}):
            print("unknown:", section, option)
"""


@pytest.fixture(scope="module", params=CHOSEN)
def old(copies: shared.Copies, request: pytest.FixtureRequest) -> Server:
    """A fresh server with that version."""
    return copies.older(request.param)


def version_of(server: Server) -> str:
    """The version in force, as its lock tells."""
    lock = "/opt/mlops/airflow/current/requirements.txt"
    return server.ssh(f"sed -n 's/^apache-airflow==\\([^ ]*\\).*/\\1/p' {lock}")


def test_it_is_installed_and_every_check_is_ok(old: Server) -> None:
    assert old.applied
    assert old.applied.returncode == 0, old.applied.output
    assert "checks ok" in old.applied.stderr
    assert "FAILED" not in old.applied.output
    assert old.api("GET", "/api/v2/version", token="")["version"] == version_of(old)


def test_a_second_plan_is_empty(old: Server) -> None:
    done = old.cli("plan")
    assert done.returncode == 0, done.end


def test_the_services_run_from_the_real_path_of_their_generation(old: Server) -> None:
    generation = old.ssh("readlink -e /opt/mlops/airflow/current")
    assert generation.startswith("/opt/mlops/airflow/")
    for unit, program in SERVICES.items():
        start = old.ssh(f"systemctl show -p ExecStart --value {unit}")
        assert f"{generation}/bin/{program}" in start
    code = "import mlops_server, sys; print(mlops_server.__file__, sys.prefix)"
    module, prefix = old.ssh(f'{generation}/bin/python -c "{code}"').split()
    assert prefix == generation
    assert module.startswith(old.ssh("readlink -e /opt/mlops/lib/python/current") + "/")


def test_airflow_knows_every_option_that_it_is_given(old: Server) -> None:
    words = "AIRFLOW_CONFIG=/dev/null AIRFLOW_HOME=/tmp/options"
    python = "/opt/mlops/airflow/current/bin/python"
    said = old.ssh(f"{words} {python} - <<'END'\n{UNKNOWN_OPTIONS}END\nrm -r /tmp/options")
    assert "unknown:" not in said


@pytest.mark.parametrize(
    ("revision", "says"),
    [
        (HEAD_OF_2_11, ["Airflow 2", "connections export"]),
        ("d2f4e1b3c5a7", ["Airflow 3.3.1 or newer", "mlops-install rollback airflow"]),
        ("0123456789ab", ["does not know", "restore a backup"]),
    ],
    ids=["airflow 2", "newer", "unknown"],
)
def test_a_database_that_is_not_its_own_is_refused(
    old: Server, revision: str, says: list[str]
) -> None:
    version = version_of(old)
    if revision in airflow_version(version).revisions["alembic_version"] and "3." in says[0]:
        pytest.skip("this version has that schema")
    own = old.sql("select version_num from alembic_version")
    units = old.units()
    old.sql(f"update alembic_version set version_num = '{revision}'")
    try:
        for command in (("plan",), ("apply", "--yes")):
            done = old.cli(*command)
            assert done.returncode == 1, done.end
            assert all(word in " ".join(done.stderr.split()) for word in says), done.stderr
    finally:
        old.sql(f"update alembic_version set version_num = '{own}'")
    assert old.units() == units
    plan = old.cli("plan")
    assert plan.returncode == 0, plan.end
