"""`mlops upgrade ...`: the steps of an upgrade, for the installer; how it stands, for people."""

import argparse
import json
import sys
from dataclasses import asdict
from typing import Any

from mlops_server import jsontext
from mlops_server.layout import Layout
from mlops_server.output import say
from mlops_server.upgrade import drain, generations, guard, rollback, steps
from mlops_server.upgrade.state import Log, Store

HELP = {
    "status": "whether an upgrade is open, and how the last one ended",
    "watch": "show what the guard does until the upgrade is at an end",
    "back": "give an open upgrade up and go back, when no installer is at work",
    "drain": "pause DAGs and wait for tasks (for the installer)",
    "begin": "stop Airflow and save database and files (for the installer)",
    "fail": "note a reason for going back, from stdin (for the installer)",
    "commit": "the new version stays (for the installer)",
    "note": "note a rolling upgrade (for the installer)",
    "clean": "remove old generations (for the installer, after an upgrade)",
    "previous": "what a rollback goes back to (for the installer)",
    "rollback": "go back to the database before the last upgrade (for the installer)",
    "guard": "go back when the installer is gone (for systemd)",
    "recover": "go back after a power cut, before Airflow starts (for systemd)",
}
LONGEST = 3600.0


def add(top: Any) -> None:
    """Add the words to the subparsers of the command line; `options.run` does the work."""
    commands = top.add_parser("upgrade", help="upgrades of Airflow").add_subparsers(
        required=True, dest="command", metavar="COMMAND"
    )
    for word, text in HELP.items():
        command = commands.add_parser(word, help=text)
        command.set_defaults(run=globals()[f"_{word}"])
    for word in ("drain", "note", "rollback"):
        commands.choices[word].add_argument("--to", required=True, help="the new version")
    commands.choices["drain"].add_argument("--timeout", type=float, help="default: without end")
    commands.choices["drain"].add_argument("--kind", default="upgrade")
    commands.choices["status"].add_argument("--json", action="store_true")
    for word in ("begin", "rollback"):
        commands.choices[word].add_argument("--kill", action="store_true", help="stop tasks too")


def _status(options: argparse.Namespace, layout: Layout, user: str | None) -> None:
    store = Store(layout)
    state = store.load()
    last = jsontext.loads(store.last.read_text()) if store.last.exists() else None
    if options.json:
        say(json.dumps({"open": state and asdict(state), "last": last}, indent=1))
        return
    if state:
        say(f"an {state.kind} from {state.old} to {state.new} is open: {state.phase}")
    if last:
        say(f"the last {last['kind']} ({last['from']} to {last['to']}) ended {last['at']}:"
             f" {last['message']}")  # fmt: skip
    if not (state or last):
        say("there was no upgrade that changed the database")


def _watch(options: argparse.Namespace, layout: Layout, user: str | None) -> int:
    return 0 if guard.watch(layout, say, LONGEST) else 1


def _back(options: argparse.Namespace, layout: Layout, user: str | None) -> None:
    guard.guard(layout, Log(layout, "guard", say))


def _drain(options: argparse.Namespace, layout: Layout, user: str | None) -> int:
    wish = drain.Wish(options.to, options.timeout, options.kind)
    return drain.drain(layout, wish, Log(layout, "drain", say))


def _begin(options: argparse.Namespace, layout: Layout, user: str | None) -> None:
    steps.begin(layout, Log(layout, "begin", say), kill=options.kill)


def _fail(options: argparse.Namespace, layout: Layout, user: str | None) -> None:
    steps.fail(Store(layout), sys.stdin.read().strip())


def _commit(options: argparse.Namespace, layout: Layout, user: str | None) -> None:
    steps.commit(layout, Log(layout, "commit", say))


def _note(options: argparse.Namespace, layout: Layout, user: str | None) -> None:
    steps.note(layout, options.to)


def _clean(options: argparse.Namespace, layout: Layout, user: str | None) -> None:
    generations.clean(layout, Log(layout, "clean", say))


def _previous(options: argparse.Namespace, layout: Layout, user: str | None) -> None:
    say(json.dumps(rollback.previous(layout)))


def _rollback(options: argparse.Namespace, layout: Layout, user: str | None) -> None:
    rollback.begin(layout, Log(layout, "rollback", say), kill=options.kill)


def _guard(options: argparse.Namespace, layout: Layout, user: str | None) -> None:
    guard.guard(layout, Log(layout, "guard", say))


def _recover(options: argparse.Namespace, layout: Layout, user: str | None) -> None:
    guard.recover(layout, Log(layout, "guard", say))
