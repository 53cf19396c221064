"""The command line of the server: `mlops env ...`, `mlops workflows ...`, `mlops door`.

Heavy modules load where they are needed.
"""

import argparse
import errno
import json
import os
import sys
from typing import Any, NoReturn

from mlops_server.errors import EnvError
from mlops_server.layout import Layout
from mlops_server.output import printable, say
from mlops_server.person import Person

PIPE_CLOSED = 141
"""As of a program that SIGPIPE ended."""
USER = "mlops-task"
"""Who runs tasks and `env run`."""
WORKFLOWS = {
    "fetch": "fetch the branch or tag; a new commit becomes a release",
    "models": "the models of the candidate, and whether their environments are built",
    "check": "prove the candidate",
    "activate": "bring the candidate and its environments into force",
    "clean": "remove releases and environments that nothing needs",
    "sync": "fetch, build, check, activate and clean in one go",
    "repair": "make anew what was changed by hand in the release in force",
    "rollback": "go back to the release before, or to SHA, and hold it",
    "release": "end the hold of a rollback",
    "status": "what is in force, what is rejected and why",
    "key": "the public deploy key, ready to paste",
}


class _Parser(argparse.ArgumentParser):
    """Exit code 2 means that something differs, so wrong words are 1 like every error."""

    def error(self, message: str) -> NoReturn:
        raise EnvError(message, fix=f"`{self.prog} --help`")


def _parser() -> _Parser:
    parser = _Parser(prog="mlops", description="Workflows and model environments of this server.")
    top = parser.add_subparsers(
        required=True, metavar="env|workflows|service|backup|upgrade|door", parser_class=_Parser
    )
    _add_environments(top)
    _add_workflows(top)
    _add_services(top)
    _add_backups(top)
    _add_upgrade(top)
    door = top.add_parser("door", help="answer one request of the git-pull DAG, on stdin")
    door.set_defaults(run=_door)
    return parser


def _add_environments(top: "argparse._SubParsersAction[_Parser]") -> None:
    env = top.add_parser("env", help="model environments").add_subparsers(
        required=True, dest="command", metavar="COMMAND"
    )
    build = env.add_parser("build", help="build from /etc/mlops/locks, when not there intact")
    build.add_argument("model")
    build.add_argument("lock", metavar="LOCKHASH")
    activate = env.add_parser("activate", help="make an environment the current one")
    activate.add_argument("model")
    activate.add_argument("lock", metavar="LOCKHASH")
    listed = env.add_parser("list", help="the environments, and whether they are as built")
    listed.add_argument("--json", action="store_true")
    show = env.add_parser("show", help="the current environment of a model")
    show.add_argument("model")
    show.add_argument("--json", action="store_true")
    check = env.add_parser("check", help="exit code 2 when a file is not as built")
    check.add_argument("models", nargs="*", metavar="MODEL")
    check.add_argument("--full", action="store_true", help="read every file")
    run = env.add_parser("run", help=f"run a command in an environment, as user {USER}")
    run.add_argument("model")
    run.add_argument("words", nargs=argparse.REMAINDER, metavar="-- CMD...")
    clean = env.add_parser("clean", help="remove environments that nothing needs")
    clean.add_argument("--keep", type=int, default=2, metavar="N", help="older ones to keep")
    for name, parser in env.choices.items():
        parser.set_defaults(run=globals()[f"_{name}"])


def _add_services(top: "argparse._SubParsersAction[_Parser]") -> None:
    from mlops_server.services import cli

    cli.add(top)


def _add_backups(top: "argparse._SubParsersAction[_Parser]") -> None:
    from mlops_server.backup import cli

    cli.add(top)


def _add_upgrade(top: "argparse._SubParsersAction[_Parser]") -> None:
    from mlops_server.upgrade import cli

    cli.add(top)


def _add_workflows(top: "argparse._SubParsersAction[_Parser]") -> None:
    workflows = top.add_parser("workflows", help="releases of the workflows, from Git")
    commands = workflows.add_subparsers(required=True, dest="command", metavar="COMMAND")
    for name, text in WORKFLOWS.items():
        command = commands.add_parser(name, help=text)
        command.set_defaults(run=_workflows, json=False, again=False, commit=None)
        if name in ("fetch", "models", "status"):
            command.add_argument("--json", action="store_true")
        if name in ("fetch", "sync"):
            command.add_argument(
                "--again", action="store_true", help="try a commit that was rejected once more"
            )
        if name == "rollback":
            command.add_argument("commit", nargs="?", metavar="SHA")


def main(argv: list[str], layout: Layout | None = None, user: str | None = USER) -> int:
    """Run a command; the exit code. Expected errors are said on stderr."""
    try:
        options = _parser().parse_args(argv)
        code = int(options.run(options, layout or Layout(), user) or 0)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except EnvError as error:
        problem = error
    except OSError as error:
        if error.errno not in _FIXES:
            raise
        problem = EnvError(str(error), fix=_FIXES[error.errno])
    sys.stdout.flush()
    print(printable(str(problem)), file=sys.stderr)
    return problem.code


_FIXES = {
    errno.ENOSPC: "free some disk space, then run the same command again",
    errno.EDQUOT: "free some disk space, then run the same command again",
    errno.EACCES: "run it as root",
    errno.EPERM: "run it as root",
    errno.EROFS: "mount the disk writable, then run the same command again",
}


def _build(options: argparse.Namespace, layout: Layout, user: str | None) -> None:
    from mlops_server.workflows.building import build

    build(layout, options.model, options.lock, say)


def _activate(options: argparse.Namespace, layout: Layout, user: str | None) -> None:
    from mlops_server.store import find

    find(layout, options.model).activate(options.lock)


def _list(options: argparse.Namespace, layout: Layout, user: str | None) -> None:
    from mlops_server import overview

    found = overview.environments(layout)
    lines = overview.table(overview.COLUMNS, overview.rows(found))
    say(_json(found) if options.json else "\n".join(lines))


def _show(options: argparse.Namespace, layout: Layout, user: str | None) -> None:
    from mlops_server import overview

    found = overview.show(layout, options.model)
    say(_json(found) if options.json else "\n".join(overview.page(found)))


def _json(found: Any) -> str:
    return json.dumps(found, indent=1)


def _check(options: argparse.Namespace, layout: Layout, user: str | None) -> int:
    from mlops_server.check import check

    return check(layout, options.models, full=options.full, say=say)


def _run(options: argparse.Namespace, layout: Layout, user: str | None) -> None:
    from mlops_server.run import run

    words = options.words[1:] if options.words[:1] == ["--"] else options.words
    run(layout, options.model, words, Person.named(user))


def _clean(options: argparse.Namespace, layout: Layout, user: str | None) -> None:
    from mlops_server.clean import clean

    clean(layout, max(options.keep, 0), say)


def _workflows(options: argparse.Namespace, layout: Layout, user: str | None) -> int:
    from mlops_server.workflows.commands import run

    return run(options, layout, user, say)


def _door(options: argparse.Namespace, layout: Layout, user: str | None) -> int:
    from mlops_server.workflows.door import serve

    return int(serve(layout) or 0)
