"""`mlops backup ...`: the words, and what they do."""

import argparse
import contextlib
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlops_server import jsontext
from mlops_server.errors import EnvError
from mlops_server.layout import Layout
from mlops_server.output import printable

HELP = {
    "create": "make one, prove it, and remove those that are too many",
    "list": "the backups, the newest first",
    "check": "read them; exit code 2 when one is damaged",
    "prune": "remove those that are more than [backup] keep",
    "unpack": "decrypt and read one, for restore; the secret, if one is needed, on stdin",
    "restore": "bring back what is unpacked; the present state becomes a backup",
    "resume": "finish a restore that was broken off half way",
    "rebuild": "environments and services that a restore left missing",
    "discard": "remove what is unpacked",
    "note": "the name, size and digest of one",
    "receive": "take an archive on stdin",
}
LONG = ("databases", "parts", "rights")
"""What of a manifest is not for people."""
COLUMNS = ("backup", "kind", "airflow", "DAG runs", "size", "state")


def add(top: Any) -> None:
    """Add the words to the subparsers of the command line; `options.run` does the work."""
    commands = top.add_parser("backup", help="backups of this server").add_subparsers(
        required=True, dest="command", metavar="COMMAND"
    )
    for word, text in HELP.items():
        commands.add_parser(word, help=text).set_defaults(run=globals()[f"_{word}"])
    choices = commands.choices
    choices["create"].add_argument("--kind", choices=("manual", "timer"), default="manual")
    choices["list"].add_argument("--json", action="store_true")
    choices["check"].add_argument("names", nargs="*", metavar="NAME")
    for word in ("unpack", "note"):
        choices[word].add_argument("name", metavar="NAME")
    choices["restore"].add_argument("--no-save", action="store_true", help="lose the present state")
    choices["restore"].add_argument("--drain", type=int, default=60, metavar="SECONDS")
    for name, kind in (("name", str), ("size", int), ("sha256", str)):
        choices["receive"].add_argument(name, type=kind)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # a connection that broke stops nothing
        print(printable(text), file=sys.stderr, flush=True)


def _create(options: argparse.Namespace, layout: Layout, user: str | None) -> None:
    from mlops_server.backup import archive

    os.umask(0o077)
    _tell(archive.create(layout, options.kind, _say))


def _note(options: argparse.Namespace, layout: Layout, user: str | None) -> None:
    from mlops_server.backup import folder

    _tell(folder.find(layout, options.name))


def _tell(path: Path) -> None:
    from mlops_server.backup import folder

    note = jsontext.loads(folder.note_path(path).read_bytes())
    print(json.dumps({"name": path.name, "size": note["size"], "sha256": note["sha256"]}))


def _list(options: argparse.Namespace, layout: Layout, user: str | None) -> None:
    from mlops_server import overview
    from mlops_server.backup import folder

    found = folder.archives(layout)
    if options.json:
        about = [
            {"name": a.name, "kind": a.kind, "seal": a.seal, "size": a.size, "good": a.good}
            | a.note
            for a in found
        ]
        print(json.dumps(about))
        return
    rows: list[tuple[str, ...]] = [
        (
            a.name,
            a.kind,
            str(a.note.get("airflow", "")),
            str(a.note.get("counts", {}).get("DAG runs", "")),
            f"{a.size >> 10} KiB",
            a.state,
        )
        for a in found
    ]
    print("\n".join(overview.table(COLUMNS, rows)) if rows else "there are no backups yet")


def _check(options: argparse.Namespace, layout: Layout, user: str | None) -> int:
    from mlops_server.backup import archive, folder

    names = {folder.find(layout, name).name for name in options.names}
    found = [a for a in folder.archives(layout) if not names or a.name in names]
    wrong = {a.name: archive.check(layout, a) for a in found}
    for name, problem in wrong.items():
        print(f"{name}: {problem or 'ok'}")
    return 2 if any(wrong.values()) else 0


def _prune(options: argparse.Namespace, layout: Layout, user: str | None) -> None:
    from mlops_server.backup import archive, folder

    with folder.locked(layout):
        archive.prune(layout, _say)


def _unpack(options: argparse.Namespace, layout: Layout, user: str | None) -> None:
    from mlops_server.backup import restore

    os.umask(0o077)
    secret = b"" if sys.stdin.isatty() else sys.stdin.buffer.read()
    manifest = restore.unpack(layout, options.name, secret, _say)
    brief = {key: value for key, value in manifest.items() if key not in LONG}
    print(json.dumps(brief))


def _restore(options: argparse.Namespace, layout: Layout, user: str | None) -> None:
    from mlops_server.backup import restore

    os.umask(0o077)
    restore.restore(layout, _say, save=not options.no_save, drain=options.drain)


def _resume(options: argparse.Namespace, layout: Layout, user: str | None) -> None:
    from mlops_server.backup import folder, restore

    os.umask(0o077)
    with folder.locked(layout):
        if not restore.resume(layout, _say):
            _say("nothing was broken off")


def _rebuild(options: argparse.Namespace, layout: Layout, user: str | None) -> int:
    from mlops_server.backup.rebuild import rebuild

    os.umask(0o022)
    return rebuild(layout, user, _say)


def _discard(options: argparse.Namespace, layout: Layout, user: str | None) -> None:
    from mlops_server.backup import folder, restore

    with folder.locked(layout):
        if (folder.stage(layout) / "switch.json").exists():
            raise EnvError("a restore is half way", fix="`mlops backup resume` finishes it")
        restore.discard(layout)


def _receive(options: argparse.Namespace, layout: Layout, user: str | None) -> None:
    from mlops_server.backup import archive, folder, header

    os.umask(0o077)
    if not folder.NAME.fullmatch(options.name):
        raise EnvError(
            f"{options.name!r} is not the name of a backup",
            fix="give the file the name that `backup` gave it: mlops-….tar",
        )
    layout.backups.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = layout.backups / options.name
    fresh = path.with_name(f"{path.name}.new")
    try:
        _take(fresh, options.size)
        if folder.sha256(fresh) != options.sha256:
            raise EnvError("the archive did not arrive complete", fix="run the same command again")
        _, manifest = header.prove(fresh)
        made = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        note = {"size": options.size, "sha256": options.sha256, "uploaded": made}
        note |= archive.brief(manifest) | {"number": folder.next_number(layout)}
        folder.publish(fresh, path, note)
    finally:
        fresh.unlink(missing_ok=True)
    _say(f"{path.name} is on the server")


def _take(path: Path, size: int) -> None:
    with path.open("wb") as out:
        while size and (block := sys.stdin.buffer.read(min(size, 1 << 20))):
            size -= len(block)
            out.write(block)
