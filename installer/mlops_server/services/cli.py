"""`mlops service ...`: the words, and what they do."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_server.errors import EnvError
from mlops_server.layout import Layout
from mlops_server.output import say

if TYPE_CHECKING:
    from mlops_server.services.systemd import Supervisor

HELP = {
    "deploy": "put a trained model into service; the one before serves until this one is healthy",
    "list": "the services, and whether they run",
    "show": "what runs, from what, and how much it has answered",
    "restart": "the same in a new process, without a dropped request",
    "remove": "take a service off; the folder with the model stays",
    "token": "the token that clients send",
}
COLUMNS = ("service", "instance", "runs", "model", "lock", "release", "folder")


def add(top: Any) -> None:
    """Add the words to the subparsers of the command line; `options.run` does the work."""
    commands = top.add_parser("service", help="models in service").add_subparsers(
        required=True, dest="command", metavar="COMMAND"
    )
    for word, text in HELP.items():
        command = commands.add_parser(word, help=text)
        command.set_defaults(run=globals()[f"_{word}"])
        if word != "list":
            command.add_argument("service", metavar="NAME")
        if word in ("list", "show"):
            command.add_argument("--json", action="store_true")
    deploy = commands.choices["deploy"]
    deploy.add_argument("--model", required=True, help="whose environment and service.py")
    deploy.add_argument("--folder", required=True, type=Path, help="what load() gets")
    deploy.add_argument("--release", default="", help="default: the one in force")
    deploy.add_argument("--threads", type=int, default=4, help="requests at a time (4)")
    commands.choices["restart"].add_argument(
        "--new-token", action="store_true", help="from then on the old token is refused"
    )


def _deploy(options: argparse.Namespace, layout: Layout, user: str | None) -> None:
    from mlops_server.services import manage
    from mlops_server.services.systemd import Systemd

    if not 1 <= options.threads <= 256:
        raise EnvError("--threads must be 1 to 256", fix="`mlops service deploy --help`")
    wanted = (options.model, options.release, options.folder, options.threads)
    manage.deploy(layout, Systemd(), options.service, wanted, say)


def _restart(options: argparse.Namespace, layout: Layout, user: str | None) -> None:
    from mlops_server.services import manage
    from mlops_server.services.systemd import Systemd

    manage.restart(layout, Systemd(), options.service, say, fresh_token=options.new_token)


def _remove(options: argparse.Namespace, layout: Layout, user: str | None) -> None:
    from mlops_server.services import manage
    from mlops_server.services.systemd import Systemd

    manage.remove(layout, Systemd(), options.service, say)


def _list(options: argparse.Namespace, layout: Layout, user: str | None) -> None:
    from mlops_server import overview
    from mlops_server.services.systemd import Systemd

    found = listed(layout, Systemd())
    if options.json:
        say(json.dumps(found, indent=1))
        return
    rows: list[tuple[str, ...]] = [
        (
            one["service"],
            f"{one['service']}.{one['number']}",
            ("yes" if one["runs"] else "no") + ("" if one["in_force"] else ", left over"),
            one.get("model", "?"),
            one.get("lock", "?"),
            Path(one.get("release", "?")).name,
            one.get("folder", "?"),
        )
        for one in found
    ]
    say("\n".join(overview.table(COLUMNS, rows)))
    for name in sorted({one["service"] for one in found if not one["in_force"]}):
        say(f"{name}: what is left over goes with the next deploy, or with `remove {name}`")


def listed(layout: Layout, supervisor: "Supervisor") -> list[dict[str, Any]]:
    """Every instance that is there, in force or left by a command that was stopped half way."""
    from mlops_server.services import manage
    from mlops_server.services.records import INSTANCE, Records

    records = Records(layout)
    known = {path.stem for path in records.folder.glob("*.json")} | set(supervisor.instances())
    parts = [match for one in known if (match := INSTANCE.fullmatch(one))]
    found = []
    for name in sorted({match[1] for match in parts} | set(records.names())):
        for instance in manage.instances(records, supervisor, name):
            there = records.path(instance).exists()
            about = asdict(records.read(instance)) if there else {}
            number = int(instance.rpartition(".")[2])
            state = {
                "runs": supervisor.active(instance),
                "in_force": records.current(name) == instance,
            }
            found.append({"service": name, "number": number} | about | state)
    return found


def _show(options: argparse.Namespace, layout: Layout, user: str | None) -> None:
    from mlops_server.services import folder, manage
    from mlops_server.services.records import Records

    records = Records(layout)
    record = records.read(manage.in_force(records, options.service))
    changed = folder.changed(layout, Path(record.folder), record.digest)
    found = manage.ask(records, record.instance) | {"folder_changed": changed}
    lines = [f"{key}: {value}" for key, value in found.items()]
    say(json.dumps(found, indent=1) if options.json else "\n".join(lines))


def _token(options: argparse.Namespace, layout: Layout, user: str | None) -> None:
    from mlops_server.services import manage
    from mlops_server.services.records import Records

    records = Records(layout)
    manage.in_force(records, options.service)
    say(records.token(options.service))
