"""Is this a server that we can and may provision? Asked before anything is planned."""

import re
from collections.abc import Iterator

from mlops_server.errors import Flaw

from mlops_install import __version__, calendars, clusters, neighbours
from mlops_install.errors import PreflightError
from mlops_install.facts import Facts
from mlops_install.proxysettings import HEALTH_PORTS, INNER_PORTS
from mlops_install.resources.postgres import MARK
from mlops_install.settings import Config

SUPPORTED = {("debian", "12"), ("debian", "13"), ("ubuntu", "24.04")}
TASK_OWNERS = ("mlops-task", "airflow")
"""Of the database `workflows`: today's, and that of earlier installers."""
MIN_MEMORY_MB = 1900
IDLE_MB = 30
"""Memory of a task, at least (sizing.py)."""
MIN_DISK_MB = 4000
SPLIT = {("debian", "13"), ("ubuntu", "24.04")}
"""Systems that have old names of zones in a package of their own."""


def check(config: Config, facts: Facts) -> None:
    """Raise `PreflightError` with every reason at once."""
    problems = list(_problems(config, facts))
    if problems:
        raise PreflightError(
            "this server cannot be provisioned: " + problems[0][0]
            if len(problems) == 1
            else "this server cannot be provisioned",
            detail="\n".join(f"- {what}" for what, _ in problems) if len(problems) > 1 else "",
            fix="; ".join(fix for _, fix in problems),
        )


def _problems(config: Config, facts: Facts) -> Iterator[Flaw]:
    yield from _newer(facts)
    yield from _system(facts)
    yield from _size(facts)
    yield from _fits(config, facts)
    yield from _taken(config, facts)
    yield from _judged(config, facts)
    yield from clusters.problems(facts)
    yield from neighbours.problems(facts)
    yield from _database(config, facts)


def _newer(facts: Facts) -> Iterator[Flaw]:
    """What a newer one made would look like drift to us, and be taken back."""
    there = facts.installed.partition(" ")[2]
    if _numbers(there) > _numbers(__version__):
        yield Flaw(
            f"it was set up by mlops-install {there}, and this is {__version__}",
            f"use mlops-install {there} or newer; `mlops-install rollback airflow` is the way to"
            " an older Airflow",
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"[0-9]+", version)[:3])


def _system(facts: Facts) -> Iterator[Flaw]:
    if (facts.os_id, facts.os_version) not in SUPPORTED:
        yield Flaw(
            f"it runs {facts.os_id} {facts.os_version}", "use Debian 12 or 13, or Ubuntu 24.04"
        )
    if facts.init != "systemd":
        yield Flaw(
            f"its first process is {facts.init}, not systemd", "use a server or VM with systemd"
        )
    if facts.machine not in ("x86_64", "aarch64"):
        yield Flaw(f"its processor is {facts.machine}", "use x86_64 or aarch64")


def _size(facts: Facts) -> Iterator[Flaw]:
    if facts.memory_mb < MIN_MEMORY_MB:
        yield Flaw(
            f"{facts.memory_mb} MiB of memory, {MIN_MEMORY_MB} needed", "give it 2 GiB or more"
        )
    if facts.installed:
        return
    for name, free in (("/opt", facts.disk_mb), ("/var", facts.var_mb)):
        if free < MIN_DISK_MB:
            yield Flaw(f"{free} MiB free at {name}, {MIN_DISK_MB} needed", f"make room at {name}")


def _fits(config: Config, facts: Facts) -> Iterator[Flaw]:
    """Numbers of the config that no server of this size can bear."""
    buffers, airflow = config.postgres.shared_buffers_mb or 0, config.airflow
    if buffers > facts.memory_mb // 2:
        yield Flaw(
            f"[postgres] shared_buffers_mb = {buffers} is more than half of its memory"
            f" ({facts.memory_mb} MiB)",
            "set a quarter of the memory, or leave shared_buffers_mb out",
        )
    slots = airflow.schedulers * (airflow.parallelism or 0)
    if slots * IDLE_MB > facts.memory_mb:
        yield Flaw(
            f"[airflow] schedulers = {airflow.schedulers} with parallelism ="
            f" {airflow.parallelism} start {slots} processes, which have {slots * IDLE_MB} MiB"
            f" when they idle, and it has {facts.memory_mb} MiB of memory",
            "set a smaller parallelism in [airflow], or leave it out",
        )


def _taken(config: Config, facts: Facts) -> Iterator[Flaw]:
    web, api = {"nginx"}, {"gunicorn", "airflow", "python", "python3"}
    settings = {config.proxy.http_port: "http_port", config.proxy.https_port: "https_port"}
    inner = (*INNER_PORTS, *HEALTH_PORTS[: config.airflow.schedulers])
    ours = {**dict.fromkeys(inner, web | api), **dict.fromkeys(settings, web)}
    for port, program in facts.ports.items():
        if port in ours and not (facts.installed and re.split("[: ]", program)[0] in ours[port]):
            other = f", or set another {settings[port]} in [proxy]" if port in settings else ""
            yield Flaw(f"port {port} is taken by {program}", f"stop {program}, or move it{other}")


def _judged(config: Config, facts: Facts) -> Iterator[Flaw]:
    system = (facts.os_id, facts.os_version)
    if facts.answers.get("zone") == "no" and system not in SPLIT:
        yield Flaw(
            f"its package tzdata has no time zone {config.base.timezone}",
            "set another timezone in [base], or run `apt update && apt install tzdata` there",
        )
    if problem := calendars.verdict(facts.answers.get("calendar", "")):
        yield Flaw(
            f'[backup] every = "{config.backup.every}": {problem}',
            "set it to an event that `systemd-analyze calendar` takes there",
        )


def _database(config: Config, facts: Facts) -> Iterator[Flaw]:
    if config.postgres.adopt:
        return
    fix = "rename it, or set `adopt = true` in [postgres] to take it over"
    if facts.database and facts.database_mark != MARK:
        yield Flaw("its PostgreSQL has a database or role `airflow` that is not ours", fix)
    owner = facts.workflows_owner
    if not facts.installed and owner not in ("", *TASK_OWNERS):
        yield Flaw(f"its PostgreSQL has a database `workflows` of the role {owner}", fix)
    if facts.task_role_mark not in ("", MARK):
        yield Flaw("its PostgreSQL has a role `mlops-task` that is not ours", fix)
