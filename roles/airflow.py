"""Airflow: its Python environment, configuration, database contents and services."""

from collections.abc import Iterator

from mlops_install import connections, locks, masked, variables
from mlops_install.airflowversion import AirflowVersion, airflow_version
from mlops_install.context import Context
from mlops_install.digest import short
from mlops_install.render import render
from mlops_install.resource import AnyResource
from mlops_install.resources.airflow import Answers, Contents, User
from mlops_install.resources.apiserver import READY, ApiServer, Former, warm
from mlops_install.resources.file import Directory, File, Link
from mlops_install.resources.shared import Shared
from mlops_install.resources.systemd import Services, UnitFile
from mlops_install.resources.tables import Tables
from mlops_install.resources.venv import Venv
from mlops_install.roles import models, proxy
from mlops_install.roles.base import NETWORK, TASK_USER
from mlops_install.roles.models import CODE, UV
from mlops_install.shell import as_user

PYTHON = {"12": "3.11", "13": "3.13", "24.04": "3.12"}
API_SERVER, SCHEDULER = "airflow-api-server@.service", "airflow-scheduler@.service"
SCHEDULER_READY = "/opt/mlops/bin/scheduler-ready"
LAUNCHER = "/opt/mlops/lib/api_server.py"
TASKS, TASKS_SOCKET = "airflow-tasks@.service", "airflow-tasks@.socket"
DAG_PROCESSOR, TRIGGERER = "airflow-dag-processor.service", "airflow-triggerer.service"
NOT_READ = {  # settings in airflow.cfg that a service does not read; it reads all others
    API_SERVER: {"parallelism", "xcom_threshold"},
    DAG_PROCESSOR: {"parallelism", "xcom_threshold", "api_workers", "drain_timeout_seconds"},
    TRIGGERER: {"parallelism", "api_workers", "drain_timeout_seconds"},
    SCHEDULER: {"api_workers"},
}
# The real path: what a running process imports later is of the code that it was started with.
# And what a unit names: behind all else, so that nothing of Airflow's is hidden by a namesake.
PTH = (
    f"import os, sys; sys.path.append(os.path.realpath('{CODE}/current'));"
    " sys.path.extend(filter(None, [os.environ.get('MLOPS_MODULES')]));"
    " from mlops_airflow.proxies import spare; spare(os.environ);"
    " from mlops_airflow.secretnames import tell; tell(os.environ)\n"
)


def packages(_: Context) -> tuple[str, ...]:
    """Debian packages of this role: names under .localhost resolve on every Debian."""
    return ("libnss-myhostname",)


def lock(context: Context) -> str:
    """The lock of the version; with what an object store needs, where the config names one."""
    chosen = context.config.airflow
    more = locks.read(f"s3-{chosen.version}.txt") if chosen.xcom_path else ""
    return _version(context).requirements + more


def venv_path(context: Context) -> str:
    """The generation that today's lock and the server's Python make."""
    return f"/opt/mlops/airflow/{short(lock(context), PYTHON[context.facts.os_version])}"


def environment(context: Context) -> Iterator[AnyResource]:
    """Folders, and a generation of Airflow's Python environment; `current` is not moved yet."""
    for path in ("/var/lib/mlops/airflow", "/var/log/mlops/dag_processor"):
        yield Directory(path, 0o750, "airflow", "airflow", whole=True)
    yield Directory("/var/lib/mlops/tasks", 0o700, TASK_USER, TASK_USER, whole=True)
    yield Shared("/var/log/mlops/airflow", owner="airflow", group=TASK_USER)
    for path in ("/opt/mlops/dags", "/opt/mlops/lib/airflow_config"):
        yield Directory(path)
    yield Venv(venv_path(context), lock(context), UV, NETWORK)
    yield File(f"{venv_path(context)}/.lock", "", present=False)  # of earlier installers
    python = PYTHON[context.facts.os_version]
    site = f"{venv_path(context)}/lib/python{python}/site-packages"
    yield File(f"{site}/mlops.pth", PTH)


def loads_dump(context: Context) -> bool:
    """Whether this is a first run, which loads a dump of Airflow's database.

    The services need not wait for a migration then.
    """
    facts = context.facts
    new = not (facts.installed or facts.database)
    return new and bool(locks.dump(context.config.airflow.version))


def tables(context: Context) -> Iterator[AnyResource]:
    """The tables of a new database, as today's Airflow makes them."""
    if loads_dump(context):
        yield Tables("airflow", locks.dump(context.config.airflow.version))


def configuration(context: Context) -> Iterator[AnyResource]:
    """Config, helpers, DAGs and units."""
    yield Link("/opt/mlops/airflow/current", venv_path(context))
    given = context.given
    for path, read in ((connections.PATH, given.connections), (variables.PATH, given.variables)):
        text = read.get_secret_value() if read else "{}\n"
        yield File(path, text, 0o640, group="airflow", secret=True)
    yield File(masked.PATH, masked.names(context.config))
    yield File("/etc/mlops/airflow.cfg", _cfg(context))  # no secret is in it, and tasks read it
    yield from _helpers()
    yield from _units(context)
    for path in ("/etc/needrestart", "/etc/needrestart/conf.d"):
        yield Directory(path)
    yield File("/etc/needrestart/conf.d/mlops.conf", render("airflow/needrestart.conf"))


def contents(context: Context) -> Iterator[AnyResource]:
    """The database is brought to what the services expect: by Airflow's own migration.

    Where a dump has just been loaded, it lacks nothing but users and pools.
    """
    first = loads_dump(context)
    yield Contents(
        python=f"{venv_path(context)}/bin/python",
        setup=f"/opt/mlops/lib/{'first_contents' if first else 'setup_airflow'}.py",
        heads=_version(context).heads,
        users=(
            User(context.config.airflow.admin_user, "Admin", context.config.airflow.admin_email,
                 "admin_password"),
            User("mlops-verify", "Op", "mlops-verify@localhost", "verify_password"),
        ),
        pools=context.config.pools.slots,
        title="users and pools" if first else "airflow db migrate; permissions; users and pools",
    )  # fmt: skip


def api_server(context: Context) -> Iterator[AnyResource]:
    """The API server, before what must find it."""
    workers = context.sizing.api_workers
    yield ApiServer(_inputs(context, API_SERVER), workers, proxy.SITE)
    yield Former(proxy.SITE, workers)


def services(context: Context) -> Iterator[AnyResource]:
    """Everything runs, from today's inputs, and answers. Schedulers come last, one by one."""
    number = context.config.airflow.schedulers
    schedulers = [f"airflow-scheduler@{i}.service" for i in range(1, number + 1)]
    inputs = {unit: _inputs(context, unit) for unit in (DAG_PROCESSOR, TRIGGERER)}
    others = ("airflow-api-server.target", "airflow.target", "airflow-watchdog.timer")
    yield Services("of Airflow", {**inputs, **dict.fromkeys(others, "")})
    own, api = _inputs(context, SCHEDULER), _inputs(context, API_SERVER)
    yield Services(
        "airflow-scheduler@1…",
        dict.fromkeys(schedulers, own),
        "airflow-scheduler@*",
        ready=SCHEDULER_READY,
    )
    yield Answers(
        context.base_url,
        short(api, *inputs.values(), own, proxy.inputs(context)),
        (*(f"scheduler-{i}" for i in range(1, number + 1)), "DagProcessorJob", "TriggererJob"),
        ("airflow-api-server@*", *inputs, *schedulers, "nginx.service"),
        warm(context.sizing.api_workers),
    )


def _version(context: Context) -> AirflowVersion:
    return airflow_version(context.config.airflow.version)


def _cfg(context: Context, unit: str = "") -> str:
    """The configuration; for a unit, without the values that it does not read."""
    values = {
        "parallelism": context.sizing.parallelism,
        "api_workers": context.sizing.api_workers,
        "base_url": context.base_url,
        "drain_timeout_seconds": context.config.airflow.drain_timeout,
        "timezone": context.config.base.timezone,
        "xcom_path": context.config.airflow.xcom_path or "file:///srv/mlops/data/xcom",
        "xcom_threshold": context.config.airflow.xcom_threshold,
        "max_map_length": context.config.airflow.max_map_length,
    }
    text = render("airflow/airflow.cfg", **values | dict.fromkeys(NOT_READ.get(unit, ()), 0))
    return _version(context).configuration(text)


def _helpers() -> Iterator[AnyResource]:
    files = (
        ("/opt/mlops/bin/credential", "credential.sh", 0o755),
        ("/opt/mlops/bin/drain-scheduler", "drain-scheduler", 0o755),
        ("/opt/mlops/bin/running-tasks", "running-tasks", 0o755),
        ("/opt/mlops/bin/end-tasks", "end-tasks", 0o755),
        ("/opt/mlops/bin/mark-scheduler-dead", "mark-scheduler-dead", 0o755),
        ("/opt/mlops/bin/watchdog", "watchdog.sh", 0o755),
        ("/opt/mlops/bin/lost-runs.sql", "lost-runs.sql", 0o644),
        ("/opt/mlops/bin/old-runs.sql", "old-runs.sql", 0o644),
        (READY, "api-server-ready.sh", 0o755),
        (SCHEDULER_READY, "scheduler-ready.sh", 0o755),
        ("/opt/mlops/lib/airflow_config/mlops_instance.py", "mlops_instance.py", 0o644),
        ("/opt/mlops/lib/setup_airflow.py", "setup_airflow.py", 0o644),
        ("/opt/mlops/lib/first_contents.py", "first_contents.py", 0o644),
        (LAUNCHER, "api_server.py", 0o644),
        ("/opt/mlops/dags/mlops_canary.py", "mlops_canary.py", 0o644),
    )
    for path, template, mode in files:
        yield File(path, render(f"airflow/{template}"), mode)
    cli = render("airflow/airflow-cli", as_airflow=as_user("airflow"), code=CODE)
    yield File("/usr/local/bin/airflow", cli, 0o755)


def _units(context: Context) -> Iterator[AnyResource]:
    others = ("airflow.target", "airflow-api-server.target", "airflow.slice", TASKS, TASKS_SOCKET,
              "airflow-watchdog.service", "airflow-watchdog.timer")  # fmt: skip
    for unit in (*NOT_READ, *others):
        text = _unit(context, unit, _inputs(context, unit))
        yield UnitFile(f"/etc/systemd/system/{unit}", text)


def _unit(context: Context, unit: str, inputs: str) -> str:
    return render(
        f"airflow/{unit}",
        inputs=inputs,
        venv=venv_path(context),
        schedulers=context.config.airflow.schedulers,
        drain_timeout_seconds=context.config.airflow.drain_timeout,
        launcher=LAUNCHER,
    )


def _inputs(context: Context, unit: str) -> str:
    """What a service is started from: its unit, the config, the helpers, the environment."""
    parts = [_unit(context, unit, ""), _cfg(context, unit), venv_path(context), models.code_path()]
    if unit == API_SERVER:
        parts.append(render("airflow/api_server.py"))
    if unit in (DAG_PROCESSOR, TRIGGERER):  # a task learns them when it starts
        parts.append(masked.names(context.config))
    if unit == SCHEDULER:  # who runs its tasks is started anew with it
        parts += [_unit(context, TASKS, ""), _unit(context, TASKS_SOCKET, "")]
    return short(*parts, render("airflow/mlops_instance.py"), render("airflow/credential.sh"))
