"""What the commands do, each as a short story."""

import contextlib
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from mlops_install import (
    channels,
    engine,
    facts,
    preflight,
    reading,
    render,
    report,
    rollback,
    runlock,
    said,
    upgrading,
)
from mlops_install import config as configs
from mlops_install import context as contexts
from mlops_install import plan as plans
from mlops_install import progress as progresses
from mlops_install import upgrade as upgrades
from mlops_install.check import Check
from mlops_install.context import Context, Given
from mlops_install.errors import ConfigError
from mlops_install.given import project
from mlops_install.host import Host, Local, ask_password
from mlops_install.progress import Timing
from mlops_install.questions import questions
from mlops_install.reaching import Options, beside
from mlops_install.resources.backup import Switched
from mlops_install.resources.environment import PROGRAM
from mlops_install.roles import stages
from mlops_install.roles.base import with_login
from mlops_install.secretref import optional
from mlops_install.shell import sh
from mlops_install.upgrade import Upgrade
from mlops_install.upgrading import Steps

OK, DIFFERENT = 0, 2


@contextmanager
def reach(
    options: Options, *, given: Given | None = None, version: str | None = None
) -> Iterator[tuple[Host, Context]]:
    """Read the config, log in, and find out what the server is.

    `given` stands for the files and secrets that the config names, where they are not needed;
    `version` for the version of Airflow that it names.
    """
    login = options.login(files=given is None)
    config = login.config
    if version:
        airflow = config.airflow.model_copy(update={"version": version})
        config = config.model_copy(update={"airflow": airflow})
    if given is None:
        with configs.located(options.config):
            given = replace(login.given, project=project(config))
    render.prepare()
    with contextlib.closing(login.server) as server:
        found = login.facts()
        gc.freeze()  # what was loaded stays: there is no rubbish to look for, at the end either
        preflight.check(config, found)
        yield server, contexts.make(config, found, given, server.reached)


def plan(options: Options, *, full: bool) -> int:
    """Show what apply would do."""
    with reach(options) as (server, context):
        planned, upgrade = _planned(server, context)
    if options.as_json:
        report.result(report.plan_json(planned, upgrade))
    else:
        report.show_plan(planned, report.data(), full=full, upgrade=upgrade)
    return DIFFERENT if planned.changes else OK


def _planned(server: Host, context: Context) -> tuple[plans.Plan, Upgrade | None]:
    with beside(report.prepare):
        planned = plans.make_plan(server, stages(context))
    upgrade = upgrades.find(planned, context)
    return planned, upgrade and upgrades.with_tasks(server, upgrade)


def apply(
    options: Options, *, yes: bool, verify_after: bool, full: bool, version: str | None = None
) -> int:
    """Show the plan, ask, carry it out, verify; `version` of Airflow instead of the config's."""
    with reach(options, version=version) as (server, context):
        steps = Steps(server, partial(_choice, context, yes))
        context = _settled(steps, context)
        planned, upgrade = _planned(server, context)
        report.show_plan(planned, report.people(), full=full, upgrade=upgrade)
        if planned.changes and not (yes or agreed(server)):
            report.say("nothing was changed")
            return DIFFERENT
        if any(isinstance(change.resource, Switched) for change in planned.changes):
            first, _ = plans.split(planned, "build")
            _carry_out(steps, context, first, None)
            report.say("a restore was brought to its end; what is wanted is compared again")
            return apply(options, yes=yes, verify_after=verify_after, full=full, version=version)
        check = partial(_checks, server, context, None)
        if upgrade and upgrade.schema:
            done = upgrading.run(steps, context, planned, upgrade, check)
            trips = server.round_trips
        else:
            timings = _carry_out(steps, context, planned, None if version else upgrade)
            trips = server.round_trips
            done = upgrading.Done(timings, check() if planned.changes and verify_after else [])
        if options.as_json:
            about = {"url": context.base_url, "round_trips": trips, "timings": done.timings}
            found = [asdict(check) for check in done.checks]
            report.result(report.plan_json(planned, upgrade) | about | {"checks": found})
        elif done.checks:
            report.show_checks(done.checks, report.people())
        user = context.config.airflow.admin_user
        report.ending(context.base_url, user, _login(options, server))
        return DIFFERENT if any(check.outcome == "FAILED" for check in done.checks) else OK


def _settled(steps: Steps, context: Context) -> Context:
    """The context once no upgrade is open any more: a run that died may still be gone back from."""
    if not context.facts.upgrade:
        return context
    report.say("waiting: an upgrade is open on the server")
    upgrading.settle(steps)
    found = facts.gather(steps.server, ask_password, questions(context.config))
    return contexts.make(context.config, found, context.given, context.reached)


def _choice(context: Context, yes: bool) -> str:
    """What to do about tasks that outlast the time of an upgrade."""
    if yes:
        return context.config.airflow.when_tasks_outlast
    try:
        return report.choose("These tasks still run. What now? ", upgrading.CHOICES)
    except EOFError:
        return context.config.airflow.when_tasks_outlast


def rollback_airflow(options: Options, *, yes: bool) -> int:
    """Go back to the version, and to the database, from before the last upgrade."""
    with reach(options, given=Given()) as (server, context):
        steps = Steps(server, partial(_choice, context, yes))
        context = _settled(steps, context)
        found = rollback.look(server)
        for line in found.lines():
            report.say(line)
        if found.schema:
            if not (yes or agreed(server)):
                report.say("nothing was changed")
                return DIFFERENT
            rollback.run(steps, context, found)
            return OK
    return apply(options, yes=yes, verify_after=True, full=False, version=found.old)


def _login(options: Options, server: Host) -> str:
    """How to run a command on the server by hand."""
    if isinstance(server, Local):
        return "sudo"
    config = f"-F {options.ssh_config} " if options.ssh_config else ""
    name, _, port = server.address.partition(":")
    return f"ssh {config}{f'-p {port} ' if port else ''}{name} sudo"


def agreed(server: Host, what: str = "Change") -> bool:
    """Ask the user. Raises `ConfigError` when there is none."""
    try:
        return report.ask(f"{what} {server.address}? [y/N] ")
    except EOFError as error:
        raise ConfigError(
            "there is no terminal to ask whether to change the server",
            fix="add --yes to carry out the plan without asking",
        ) from error


def _carry_out(
    steps: Steps, context: Context, planned: plans.Plan, upgrade: Upgrade | None
) -> list[Timing]:
    """The usual way; a rolling upgrade is noted before, so that `rollback` knows of it."""
    if not planned.changes:
        return []
    first, rest = plans.split(planned, "configure")
    with (
        runlock.held(steps.server, context.facts.last_run, report.say) as us,
        progresses.progress(len(planned.changes)) as progress,
    ):
        held = replace(steps, holder=us)
        engine.carry_out(steps.server, first, progress, us)
        if upgrade:
            held.must("note", "--to", upgrade.new)
        engine.carry_out(steps.server, rest, progress, us)
        if upgrade:
            held.clean()
    return progress.timings


def verify(options: Options, junit: Path | None) -> int:
    """Run the infrastructure tests against the live server."""
    with reach(options) as (server, context):
        checks = _checks(server, context, junit)
    if options.as_json:
        report.result({"version": 1, "checks": [asdict(check) for check in checks]})
    else:
        report.show_checks(checks, report.data())
    return DIFFERENT if any(check.outcome == "FAILED" for check in checks) else OK


def _checks(server: Host, context: Context, junit: Path | None) -> list[Check]:
    from mlops_install import verification

    drift = verification.drift(plans.make_plan(server, stages(context)))
    return [drift, *verification.run(server, context, report.checked, junit)]


def status(options: Options) -> int:
    """What runs on the server, and how it is."""
    from mlops_install import status as statuses

    with reach(options, given=Given()) as (server, context):
        found = statuses.gather(server, context)
    if options.as_json:
        report.result(found.as_json())
    else:
        report.table(("", "what", "state"), found.rows(), report.data())
    return OK if found.healthy else DIFFERENT


@dataclass(frozen=True)
class LockWish:
    """What the command line said about locking."""

    models: tuple[str, ...] = ()
    project: Path | None = None
    update: tuple[str, ...] = ()
    check: bool = False
    conda: str | None = None


def lock(config: Path | None, wish: LockWish) -> int:
    """Lock the environments of models."""
    from mlops_install import lock as locking

    read = configs.load(config)
    folder = reading.at_home(wish.project or read.workflows.path or ".", "--project")
    models, base = read.models, read.base
    channel = index = None
    if not wish.check:  # which asks nobody
        with configs.located(config):
            channel = optional(models.channel_password, "models", "channel_password")
            index = optional(base.python_index_password, "base", "python_index_password")
    options = locking.LockOptions(
        platforms=tuple(models.platforms),
        cuda=models.cuda,
        update=wish.update,
        check=wish.check,
        conda=wish.conda,
        mirrors=models.channel_mirrors,
        user=models.channel_user,
        password=channel,
        pypi_names=models.pypi_names,
        python_index=base.python_index
        and with_login(base.python_index, base.python_index_user, index),
        allowed=channels.allowed(read),
    )
    return locking.run(folder, wish.models, options)


def on_server(options: Options, *words: str) -> int:
    """Run the server's `mlops` and hand on what it says; its exit code."""
    script = f"[ -x {PROGRAM} ] || exit {said.ABSENT}\n{sh(PROGRAM, *words)} < /dev/null"
    with (
        reach(options, given=Given()) as (server, _),
        contextlib.closing(server.open(script)) as session,
    ):
        for line in session.lines():
            report.line(line)
        result = session.finish()
    if result.code == said.ABSENT:
        raise said.missing(server.address)
    if result.stderr.strip():
        report.say(said.here(result.stderr.rstrip()))
    return result.code
