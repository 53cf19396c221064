"""An upgrade that changes the database: the installer's part. The server's: mlops_server.upgrade.

The run lock is held all the time. Whenever it becomes free while the upgrade is open, the guard
on the server goes back; so to give up is to let go of the lock.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from mlops_install import engine, report, runlock, said
from mlops_install import plan as plans
from mlops_install import progress as progresses
from mlops_install.answer import document
from mlops_install.check import Check
from mlops_install.context import Context
from mlops_install.errors import ApplyError, ConnectionLost, LockError, MlopsError
from mlops_install.host import Host
from mlops_install.progress import Timing
from mlops_install.resources.environment import PROGRAM
from mlops_install.session import Result
from mlops_install.shell import here, sh
from mlops_install.upgrade import Upgrade

OUTLAST = 3
LOG = "/var/log/mlops/upgrade.log"
CHOICES = {"wait": "wait until they end", "stop": "stop them; they run again afterwards",
           "give-up": "give up; nothing was changed"}  # fmt: skip


@dataclass(frozen=True)
class Steps:
    """The steps on the server, their output shown as it comes.

    `choose` is asked what to do about tasks that outlast the time: a word of CHOICES. `holder` is
    who holds the run lock; when somebody else does, no step begins.
    """

    server: Host
    choose: Callable[[], str]
    holder: str = ""

    def command(self, *words: str, stdin: str = "") -> Result:
        """Run `mlops upgrade ...`, which a next run or the guard waits for."""
        program = sh(PROGRAM, "upgrade", *words)
        script = f"{engine.busy(self.holder)}\n{program} < <({here(stdin.encode())})"
        with contextlib.closing(self.server.open(script)) as session:
            lines = []
            for line in session.lines():
                lines.append(line)
                report.say(f"  {line}")
            result = session.finish()
        return Result("\n".join(lines), result.stderr, result.code)

    def must(self, *words: str) -> str:
        """The output of a command that must end well. Raises `ApplyError`."""
        done = self.command(*words)
        if done.code:
            raise said.problem(_errors(done), f"mlops upgrade {words[0]} failed")
        return done.stdout

    def drain(self, new: str, timeout: int, kind: str) -> bool:
        """Drain; whether tasks that are left shall be stopped. Raises `ApplyError`."""
        words = ("drain", "--to", new, "--kind", kind)
        done = self.command(*words, "--timeout", str(timeout))
        if done.code == OUTLAST:
            return self._outlast(words, done.stdout)
        if done.code:
            raise said.problem(_errors(done), "the drain was broken off")
        return False

    def _outlast(self, words: tuple[str, ...], said: str) -> bool:
        choice = self.choose()
        if choice == "wait":
            self.must(*words)
        if choice == "give-up":
            left = [line for line in said.splitlines() if line.startswith("still at work")]
            raise ApplyError(
                "tasks outlast drain_timeout, so nothing was stopped",
                detail="\n".join(left),
                fix="run the same command later, raise drain_timeout, or set when_tasks_outlast in"
                " [airflow]",
            )
        return choice == "stop"

    def clean(self) -> None:
        """Remove generations that nothing goes back to; where that fails, the next one does it."""
        with contextlib.suppress(MlopsError):
            self.command("clean")

    def failed(self, reason: str) -> None:
        """Tell the server why, as far as it can still be told."""
        with contextlib.suppress(MlopsError):
            self.command("fail", stdin=reason)


def _errors(done: Result) -> Result:
    """What it said on stdout was shown as it came."""
    return replace(done, stdout="")


@dataclass(frozen=True)
class Done:
    """What an upgrade came to."""

    timings: list[Timing]
    checks: list[Check]


def run(
    steps: Steps,
    context: Context,
    planned: plans.Plan,
    upgrade: Upgrade,
    check: Callable[[], list[Check]],
) -> Done:
    """Carry out an upgrade that changes the database; `check` is the verification.

    Raises `ApplyError` when the server went back.
    """
    first, rest = plans.split(planned, "configure")
    server, opened = steps.server, False
    try:
        with runlock.held(server, context.facts.last_run, report.say) as us:
            timings = _stages(server, first, us)
            opened, steps = True, replace(steps, holder=us)
            with reason(steps):
                kill = steps.drain(upgrade.new, upgrade.drain_timeout, "upgrade")
                steps.must("begin", *(["--kill"] if kill else []))
                timings += _stages(server, rest, us)
                checks = check()
                _verified(checks)
                steps.must("commit")
            steps.clean()
        return Done(timings, checks)
    except MlopsError as error:
        if not opened:
            raise
        raise went_back(steps, upgrade, error) from error


def _stages(server: Host, planned: plans.Plan, us: str) -> list[Timing]:
    with progresses.progress(len(planned.changes)) as progress:
        engine.carry_out(server, planned, progress, us)
    return progress.timings


@contextlib.contextmanager
def reason(steps: Steps) -> Iterator[None]:
    """Tell the server why, when the block fails while the connection is there."""
    try:
        yield
    except ConnectionLost:
        raise
    except MlopsError as error:
        steps.failed(error.message)
        raise


def _verified(checks: list[Check]) -> None:
    bad = [check for check in checks if check.outcome == "FAILED"]
    if bad:
        report.show_checks(checks, report.people())
        lines = "\n".join(f"{check.role}: {check.name}: {check.reason}" for check in bad)
        raise ApplyError(
            f"the verification failed: {bad[0].role}: {bad[0].name}",
            detail=lines,
            fix="`mlops-install verify` shows all checks",
        )


def went_back(steps: Steps, upgrade: Upgrade, error: MlopsError) -> MlopsError:
    """Wait until the guard has gone back; what failed, as the error to raise."""
    message = f"the upgrade to Airflow {upgrade.new} was given up: {error.message}"
    log = f"the logs are {LOG} and {engine.LOG} on the server"
    if isinstance(error, ConnectionLost):
        fix = f"the server goes back to {upgrade.old} by itself; `mlops-install status` tells"
        return ApplyError(message, detail=error.detail, fix=fix)
    try:
        settle(steps)
        last = ended(steps.server)
    except MlopsError as trouble:
        fix = f"the server goes back to {upgrade.old} by itself: {trouble.message}; {log}"
        return ApplyError(message, detail=error.detail, fix=fix)
    detail = "\n".join(filter(None, (error.detail.strip(), last.get("message", ""))))
    return ApplyError(message, detail=detail, fix=f"{log}; {error.fix or 'run it again'}")


def settle(steps: Steps) -> None:
    """Wait until no upgrade is open, and show what the server does. Raises `LockError`."""
    program = sh(PROGRAM, "upgrade", "watch")
    with contextlib.closing(steps.server.open(f"{program} < /dev/null")) as session:
        for line in session.lines():
            report.say(f"  {line}")
        result = session.finish()
    if result.code:
        raise LockError(
            "an upgrade is open on the server and does not finish",
            detail=result.stderr, fix=f"{LOG} on the server tells why",
        )  # fmt: skip


def ended(server: Host) -> dict[str, Any]:
    """How the last upgrade ended; empty when none did."""
    text = server.run("cat /var/lib/mlops/upgrade/last.json 2>/dev/null").stdout
    return document("its last upgrade", text) if text.strip() else {}
