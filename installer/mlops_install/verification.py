"""Verification: the shipped infrastructure tests (testinfra) against the live server."""

import io
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host as TestinfraHost

from mlops_install.check import Check
from mlops_install.commands import Commands
from mlops_install.context import Context
from mlops_install.host import Host
from mlops_install.plan import Plan

TESTS = Path(__file__).parent / "infra_tests"


class Answer(CommandResult):  # type: ignore[misc]
    """What a command came to. testinfra's messages show its repr, so that has words."""

    def __repr__(self) -> str:
        said = " ".join((self.stderr.strip() or self.stdout.strip() or "no output").split())
        return (
            f"`{self.command.decode(errors='replace')[:200]}` (exit code {self.rc}): {said[:500]}"
        )


class Backend(BaseBackend):  # type: ignore[misc]
    """testinfra over the installer's own connection, so that login and sudo are the same."""

    NAME = "mlops"

    def __init__(self, host: Host) -> None:
        super().__init__(host.address)
        self.commands = Commands(host)

    def run(self, command: str, *args: str, **_: Any) -> Any:
        command = self.get_command(command, *args)
        answer = self.commands.run(command)
        return Answer(self, answer.code, self.encode(command), answer.stdout, answer.stderr)


class _Plugin:
    """Gives the tests the server and what is wanted of it; collects what they say."""

    def __init__(self, host: Host, context: Context, watch: Any) -> None:
        self._host, self._context, self._watch = host, context, watch
        self.checks: list[Check] = []

    @pytest.fixture(scope="session")
    def server(self) -> Iterator[Any]:
        backend = Backend(self._host)
        yield TestinfraHost(backend)
        backend.commands.close()

    @pytest.fixture(scope="session")
    def context(self) -> Context:
        return self._context

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            check = _check(report)
            self.checks.append(check)
            self._watch(check)


def run(host: Host, context: Context, watch: Any, junit: Path | None = None) -> list[Check]:
    """Run the tests over the connection; `watch` is told of each check as it ends."""
    plugin = _Plugin(host, context, watch)
    arguments = [str(TESTS), "-c", "/dev/null", f"--rootdir={TESTS}", "--import-mode=importlib"]
    arguments += [
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-p",
        "no:pytest11.testinfra",
        "--tb=line",
        "--assert=plain",
    ]
    arguments += ["-p", "no:randomly"] + ([f"--junit-xml={junit}"] if junit else [])
    with redirect_stdout(io.StringIO()) as said:
        code = pytest.main(arguments, plugins=[plugin])
    if code == pytest.ExitCode.INTERRUPTED:  # Ctrl-C, which pytest takes for itself
        raise KeyboardInterrupt
    if not plugin.checks or code not in (0, 1):
        return [Check("verify", "the tests start", "FAILED", 0, "no check ran", said.getvalue())]
    return plugin.checks


def _check(report: pytest.TestReport) -> Check:
    file, _, name = report.nodeid.rpartition("::")
    details = "" if report.passed else str(report.longrepr)
    reason = _reason(report)
    outcome = {"passed": "ok", "failed": "FAILED"}.get(report.outcome, report.outcome)
    role = Path(file.split("::")[0]).stem.removeprefix("test_")
    words = name.removeprefix("test_").replace("_", " ")
    return Check(role, words, outcome, report.duration, reason, details)


def _reason(report: pytest.TestReport) -> str:
    if report.skipped and isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    message = str(getattr(crash, "message", "")) if report.failed else ""
    return message.removeprefix("AssertionError: ").split("\n")[0]


def drift(plan: Plan) -> Check:
    """Whether the server is as the config wants it, as a check like the others."""
    names = [change.resource.name for change in plan.changes]
    reason = f"not as wanted: {', '.join(names)}" if names else ""
    outcome = "FAILED" if names else "ok"
    return Check("plan", f"all {plan.checked} resources are as wanted", outcome, 0, reason)
