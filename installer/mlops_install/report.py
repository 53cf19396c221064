"""All that is printed: data on stdout, everything for people on stderr.

rich is loaded when something is printed: a server is asked before that.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any

from mlops_install.check import Check
from mlops_install.errors import MlopsError
from mlops_install.plan import Change, Plan
from mlops_install.removal.plan import Kept
from mlops_install.upgrade import Upgrade

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


@cache
def people() -> "Console":
    """The terminal of people, or where stderr goes."""
    return _console(stderr=True)


@cache
def data() -> "Console":
    """Where data goes."""
    return _console(stderr=False)


def _console(stderr: bool) -> "Console":
    from rich.console import Console

    class Told(Console):
        """Where a reader went away, one place says how the program ends."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return Told(stderr=stderr, highlight=False, soft_wrap=True)


def styled(text: str, style: str = "") -> "Text":
    """Text in a style of rich."""
    from rich.text import Text

    return Text(text, style)


def prepare() -> None:
    """Load rich, while there is time."""
    people().print(styled(""), end="")


def say(text: str, style: str = "") -> None:
    """One line for people."""
    people().print(styled(text, style))


def line(text: str) -> None:
    """One line of data, as it is."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def result(value: object) -> None:
    """Data for machines: one JSON document on stdout."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def error(problem: MlopsError) -> None:
    """An error: what happened, the details, and the fix."""
    people().print(styled("error: ", "bold red") + styled(problem.message))
    for line in problem.detail.strip().splitlines():
        people().print(styled(f"  {line}", "dim"))
    if problem.fix:
        people().print(styled("fix:   ", "bold") + styled(problem.fix))


# --- plans --------------------------------------------------------------------------------


DOES = {
    "prepare": "the first packages, users, folders, secrets",
    "build": "other packages, PostgreSQL, Airflow, environments of models, side by side",
    "configure": "settings, units, certificate, database, workflows",
    "start": "the services, one after another, until they answer",
}
MANY = 40
"""Changes from which on a plan is told as a summary first, and new things only by number."""


def plan_lines(plan: Plan, *, full: bool) -> Iterator["Text"]:
    """The plan as a diff; `full` shows the text of new files too, and all of a long plan."""
    number = len(plan.changes)
    if not number:
        yield styled(f"nothing to do: all {plan.checked} resources are as wanted", "green")
        return
    short = number > MANY and not full
    if short:
        yield from _summary(plan)
    for stage, lanes in plan.stages:
        shown = [c for lane in lanes for c in lane.changes if not (short and _is_new(c))]
        if shown:
            yield styled(f"{stage}", "bold")
        for change in shown:
            yield from _change_lines(change, full)
    more = "; --full shows each of them" if short else ""
    yield styled(f"{number} of {plan.checked} resources to change{more}", "bold")


def _summary(plan: Plan) -> Iterator["Text"]:
    """Per stage and lane what is new, by kind."""
    for stage, lanes in plan.stages:
        yield styled(f"{stage}: {about}" if (about := DOES.get(stage)) else stage, "bold")
        for lane in lanes:
            kinds = Counter(change.resource.name.split()[0] for change in lane.changes)
            words = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
            yield styled(f"  {lane.name:12} {len(lane.changes):3} changes: {words}")


def _change_lines(change: Change, full: bool) -> Iterator["Text"]:
    new = _is_new(change)
    yield styled(f"  {'+' if new else '~'} {change.resource.name}", "green" if new else "yellow")
    shown = [d for d in change.differences if not (change.text and d.key == "sha256")]
    for difference in () if new else shown:
        name = f"{difference.key}: " if difference.key else ""
        yield styled(f"      {name}{difference.old} → {difference.new}")
    for line in change.text.splitlines() if full or not new else ():
        yield styled(f"      {line}", {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], ""))
    for step in change.steps:
        yield styled(f"      {step.line()}", "dim")


def _is_new(change: Change) -> bool:
    return all(d.old == "absent" for d in change.differences)


def show_plan(
    plan: Plan, console: "Console", *, full: bool = False, upgrade: Upgrade | None = None
) -> None:
    """Print the plan; what upgrade it is stands last, where it is seen."""
    for line in plan_lines(plan, full=full):
        console.print(line)
    for text in upgrade.lines() if upgrade else ():
        console.print(styled(text, "bold" if text[0] != " " else ""))


def show_removal(plan: Plan, kept: Sequence[Kept], running: Sequence[str], to: "Console") -> None:
    """Print an uninstall: what goes, what stays and why, and the tasks that are waited for."""
    for change in plan.changes:
        to.print(styled(f"- {change.resource.name}", "bold red"))
        for step in change.steps:
            to.print(styled(f"    {step.line()}", "dim"))
        for thing in change.text.splitlines():
            to.print(styled(f"      {thing}"))
    for title, lines in (
        ("stays", [f"{thing.name}: {thing.why}" for thing in kept]),
        ("waits for the end of", running),
    ):
        if lines:
            to.print(styled(title, "bold"))
        for line in lines:
            to.print(styled(f"  {line}"))
    if not plan.changes:
        to.print(styled("nothing of the installer is left to remove", "green"))


def plan_json(plan: Plan, upgrade: Upgrade | None = None) -> dict[str, Any]:
    """The plan as data: version, counts, and per change the lane, differences and steps.

    `upgrade` is null or tells from, to, schema, restarts, drain_timeout and the tasks at work.
    """
    changes = [
        {
            "stage": stage,
            "lane": lane.name,
            "resource": change.resource.name,
            "differences": [asdict(difference) for difference in change.differences],
            "steps": [step.line() for step in change.steps],
            "diff": change.text,
        }
        for stage, lanes in plan.stages
        for lane in lanes
        for change in lane.changes
    ]
    about = upgrade.as_json() if upgrade else None
    return {"version": 1, "checked": plan.checked, "upgrade": about, "changes": changes}


# --- tables -------------------------------------------------------------------------------


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], console: "Console") -> None:
    """A plain table; a first cell of ok or FAILED is coloured."""
    from rich.table import Table

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        shown.add_column(column, overflow="fold")
    colours = {"ok": "green", "FAILED": "bold red", "skipped": "yellow"}
    for first, *rest in rows:
        shown.add_row(styled(first, colours.get(first, "")), *(styled(cell) for cell in rest))
    console.print(shown)


def checked(check: Check) -> None:
    """One check of the verification, as it ends."""
    if not people().is_terminal:
        return
    people().print(styled(f"{check.outcome:7} {check.role}: {check.name}"), end="\r")


def show_checks(checks: Sequence[Check], console: "Console") -> None:
    """The checks as a table, then the reasons of those that failed."""
    rows = [(c.outcome, c.role, _words(c), f"{c.seconds:.1f}s") for c in checks]
    table(("", "role", "check", "time"), rows, console)
    bad = [check for check in checks if check.outcome == "FAILED"]
    for check in bad:
        console.print(styled(f"{check.role}: {check.name}: ", "bold red") + styled(check.reason))
    skipped = sum(check.outcome == "skipped" for check in checks)
    word = f"{len(bad)} of {len(checks)} checks failed" if bad else f"all {len(checks)} checks ok"
    word = f"{len(checks) - skipped} checks ok, {skipped} skipped" if skipped and not bad else word
    people().print(styled(word, "bold red" if bad else "bold green"))


def _words(check: Check) -> str:
    why = f" ({check.reason})" if check.outcome == "skipped" and check.reason else ""
    return check.name + why


def ask(question: str) -> bool:
    """A question that yes answers. Raises EOFError where there is nobody to answer."""
    if not sys.stdin.isatty():
        raise EOFError
    people().print(styled(question), end="")
    return input().strip().lower() in ("y", "yes")


def choose(question: str, choices: Mapping[str, str]) -> str:
    """One of the words, each with its meaning. Raises EOFError where nobody is to answer."""
    if not sys.stdin.isatty():
        raise EOFError
    for word, meaning in choices.items():
        people().print(styled(f"  {word:8} {meaning}"))
    answer = ""
    while answer not in choices:
        people().print(styled(question), end="")
        answer = input().strip().lower()
    return answer


def ending(url: str, user: str, login: str) -> None:
    """Where to go from here; `login` runs a command on the server as root."""
    show = f"`{login} cat /etc/mlops/secrets/admin_password`"
    for name, value in (("Airflow", url), ("user", user), ("password", show)):
        people().print(styled(f"{name:9}", "bold") + styled(value))
