"""Airflow: its Python environment, configuration, database contents and services."""

import json
from collections.abc import Iterator

from mlops_install import connections, locks, variables
from mlops_install.context import Context
from mlops_install.digest import short
from mlops_install.render import render
from mlops_install.resource import AnyResource
from mlops_install.resources.airflow import Answers, Contents, User
from mlops_install.resources.file import Directory, File, Link
from mlops_install.resources.systemd import Services, UnitFile
from mlops_install.resources.venv import Venv
from mlops_install.roles import models, proxy
from mlops_install.roles.base import NETWORK
from mlops_install.roles.models import CODE, UV

PYTHON = {"12": "3.11", "13": "3.13"}
UNITS = ("airflow-api-server", "airflow-dag-processor", "airflow-triggerer")


def packages(_: Context) -> tuple[str, ...]:
    """Debian packages of this role: names under .localhost resolve on every Debian."""
    return ("libnss-myhostname",)


def lock(context: Context) -> str:
    """The lock of the version; with what an object store needs, where the config names one."""
    chosen = context.config.airflow
    parts = ("airflow", "s3") if chosen.xcom_path else ("airflow",)
    return "".join(locks.read(f"{part}-{chosen.version}.txt") for part in parts)


def venv_path(context: Context) -> str:
    """The generation that today's lock and the server's Python make."""
    return f"/opt/mlops/airflow/{short(lock(context), PYTHON[context.facts.os_version])}"


def environment(context: Context) -> Iterator[AnyResource]:
    """Folders, and a generation of Airflow's Python environment; `current` is not moved yet."""
    for path, mode, owner in (
        ("/var/lib/mlops/airflow", 0o750, "airflow"),
        ("/var/log/mlops/airflow", 0o750, "airflow"),
        ("/opt/mlops/dags", 0o755, "root"),
        ("/opt/mlops/lib/airflow_config", 0o755, "root"),
    ):
        yield Directory(path, mode, owner, owner)
    yield Venv(venv_path(context), lock(context), UV, NETWORK)
    python = PYTHON[context.facts.os_version]
    site = f"{venv_path(context)}/lib/python{python}/site-packages"
    yield File(f"{site}/mlops.pth", f"{CODE}/current\n")


def configuration(context: Context) -> Iterator[AnyResource]:
    """Config, helpers, DAGs and units; then the database is brought to what they expect."""
    yield Link("/opt/mlops/airflow/current", venv_path(context))
    given = context.given
    for path, read in ((connections.PATH, given.connections), (variables.PATH, given.variables)):
        text = read.get_secret_value() if read else "{}\n"
        yield File(path, text, 0o640, group="airflow", secret=True)
    yield File("/etc/mlops/airflow.cfg", _cfg(context), 0o640, group="airflow")
    yield from _helpers()
    yield from _units(context)
    heads = json.loads(locks.read(f"airflow-{context.config.airflow.version}.json"))
    yield Contents(
        python=f"{venv_path(context)}/bin/python",
        setup="/opt/mlops/lib/setup_airflow.py",
        heads={key: value for key, value in heads.items() if key.startswith("alembic")},
        users=(
            User(context.config.airflow.admin_user, "Admin", context.config.airflow.admin_email,
                 "admin_password"),
            User("mlops-verify", "Op", "mlops-verify@localhost", "verify_password"),
        ),
        pools=context.config.pools.slots,
    )  # fmt: skip


def services(context: Context) -> Iterator[AnyResource]:
    """Everything runs, from today's inputs, and answers."""
    number = context.config.airflow.schedulers
    schedulers = [f"airflow-scheduler@{i}.service" for i in range(1, number + 1)]
    inputs = {f"{unit}.service": _inputs(context, f"{unit}.service") for unit in UNITS}
    yield Services("of Airflow", {**inputs, "airflow.target": "", "airflow-watchdog.timer": ""})
    own = _inputs(context, "airflow-scheduler@.service")
    yield Services("airflow-scheduler@1…", dict.fromkeys(schedulers, own), "airflow-scheduler@*")
    yield Answers(
        context.base_url,
        short(*inputs.values(), own, proxy.inputs(context)),
        (*(f"scheduler-{i}" for i in range(1, number + 1)), "DagProcessorJob", "TriggererJob"),
        (*(f"{unit}.service" for unit in UNITS), *schedulers, "nginx.service"),
    )


def _cfg(context: Context) -> str:
    return render(
        "airflow/airflow.cfg",
        parallelism=context.sizing.parallelism,
        api_workers=context.sizing.api_workers,
        base_url=context.base_url,
        drain_timeout_seconds=context.config.airflow.drain_timeout,
        timezone=context.config.base.timezone,
        xcom_path=context.config.airflow.xcom_path or "file:///srv/mlops/data/xcom",
        xcom_threshold=context.config.airflow.xcom_threshold,
    )


def _helpers() -> Iterator[AnyResource]:
    files = (
        ("/opt/mlops/bin/credential", "credential.sh", 0o755),
        ("/opt/mlops/bin/drain-scheduler", "drain-scheduler", 0o755),
        ("/opt/mlops/bin/mark-scheduler-dead", "mark-scheduler-dead", 0o755),
        ("/opt/mlops/bin/watchdog", "watchdog.sh", 0o755),
        ("/opt/mlops/lib/airflow_config/mlops_instance.py", "mlops_instance.py", 0o644),
        ("/opt/mlops/lib/setup_airflow.py", "setup_airflow.py", 0o644),
        ("/opt/mlops/dags/mlops_canary.py", "mlops_canary.py", 0o644),
        ("/usr/local/bin/airflow", "airflow-cli", 0o755),
    )
    for path, template, mode in files:
        yield File(path, render(f"airflow/{template}"), mode)


def _units(context: Context) -> Iterator[AnyResource]:
    services = [f"{unit}.service" for unit in UNITS]
    others = ("airflow-scheduler@.service", "airflow.target", "airflow.slice",
              "airflow-watchdog.service", "airflow-watchdog.timer")  # fmt: skip
    for unit in (*services, *others):
        text = _unit(context, unit, _inputs(context, unit))
        yield UnitFile(f"/etc/systemd/system/{unit}", text)


def _unit(context: Context, unit: str, inputs: str) -> str:
    return render(
        f"airflow/{unit}",
        inputs=inputs,
        schedulers=context.config.airflow.schedulers,
        drain_timeout_seconds=context.config.airflow.drain_timeout,
    )


def _inputs(context: Context, unit: str) -> str:
    """What a service is started from: its unit, the config, the helpers, the environment."""
    parts = (_unit(context, unit, ""), _cfg(context), venv_path(context), models.code_path())
    return short(*parts, render("airflow/mlops_instance.py"), render("airflow/credential.sh"))
