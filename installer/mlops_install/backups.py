"""Backups of a server: made there, fetched from there."""

import io
import re
from pathlib import Path
from typing import IO, Any

from mlops_install import actions, report, said
from mlops_install.actions import OK
from mlops_install.answer import document, understood
from mlops_install.context import Given
from mlops_install.engine import RUN_DIR, private
from mlops_install.errors import ApplyError, ConfigError, ConnectionLost
from mlops_install.host import Host
from mlops_install.reaching import Options
from mlops_install.resources.environment import PROGRAM
from mlops_install.session import Result
from mlops_install.shell import sh

FOLDER = "/var/lib/mlops/backups"
NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z.-]{0,200}", re.ASCII)
"""What an archive is called, here and there."""
BUSY = f"{private(RUN_DIR)}; exec 9>{RUN_DIR}/busy; flock -s 9"
"""Who holds this is waited for by the next run, when the connection breaks."""


def newest(*kinds: str) -> str:
    """Shell text that prints the name of the newest backup of these kinds, by number as there.

    By name where none has a number; nothing where there is none.
    """
    ends = ("", ".age", ".gpg")
    notes = " ".join(f"*-{kind}.tar{end}.json" for kind in kinds or ("*",) for end in ends)
    number = "'\"number\": [0-9]*'"
    return (
        f"[ ! -d {FOLDER} ] || (cd {FOLDER}\n"
        f"last=$(grep -Hso {number} {notes} | sort -t: -k3n | tail -n 1 | cut -d: -f1)\n"
        f'[ -n "$last" ] || last=$(ls -d {notes} 2>/dev/null | sort | tail -n 1)\n'
        'echo "${last%.json}")'
    )


def create(options: Options, to: Path | None) -> int:
    """Make a backup; its name on stdout, or its path here when it is fetched."""
    with actions.reach(options, given=Given()) as (server, _):
        found = note(server, "create")
        path = download(server, found["name"], to) if to else None
    if options.as_json:
        report.result(found | ({"path": str(path)} if path else {}))
    else:
        report.line(str(path or found["name"]))
    return OK


def fetch(options: Options, name: str, to: Path) -> int:
    """Fetch a backup; its path on stdout."""
    with actions.reach(options, given=Given()) as (server, _):
        report.line(str(download(server, name, to)))
    return OK


def mlops(server: Host, *words: str, secret: str = "", file: IO[bytes] | None = None) -> str:
    """Run the server's `mlops backup`; the last line that it printed. Raises `ApplyError`.

    The secret, or the file, goes to its stdin.
    """
    command = sh(PROGRAM, "backup", *words)
    script = f"{BUSY}\n[ -x {PROGRAM} ] || exit {said.ABSENT}\n{command} 2>&1 9>&-"
    broke: ConnectionLost | None = None
    with server.open(script) as session:
        try:
            session.pump(file or io.BytesIO(secret.encode()))
        except ConnectionLost as error:  # or the command ended before it had read all of it
            broke = error
        done = session.finish()
    if broke and not done.code:
        raise broke
    lines = done.stdout.splitlines()
    if done.code:
        raise _problem(server, words[0], Result(done.stdout, done.stderr, done.code))
    for line in lines[:-1]:
        report.say(said.here(line))
    return lines[-1] if lines else ""


def note(server: Host, *words: str, secret: str = "") -> dict[str, Any]:
    """What `mlops backup` says of a backup. Raises `ApplyError`, and `HostError` for no note."""
    text = mlops(server, *words, secret=secret)
    found = document("the backup", text)
    with understood("the backup", text):
        int(found["size"])
        if not NAME.fullmatch(found["name"]):
            raise ValueError  # nobody sees a text of it
    return found


def _problem(server: Host, word: str, done: Result) -> ApplyError:
    if done.code == said.ABSENT:
        return said.missing(server.address)
    return said.problem(done, f"backup {word} failed")


def download(server: Host, name: str, to: Path) -> Path:
    """Fetch an archive and compare it with its note; where it is. Raises `MlopsError`."""
    about = note(server, "note", name)
    with understood("the backup", str(about)):
        whole = about["size"], about["sha256"]
    to.mkdir(parents=True, exist_ok=True)
    path = to / str(about["name"])
    read = sh("cat", f"{FOLDER}/{path.name}")
    fresh = path.with_name(f"{path.name}.part")
    try:
        with server.open(read) as session, fresh.open("wb") as out:
            fresh.chmod(0o600)
            size, sha256 = session.save(out)
        if (size, sha256) != whole:
            raise ApplyError(
                f"{path.name} did not arrive complete", fix="run the same command again"
            )
        fresh.replace(path)
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}: {error.strerror}",
            fix="make room there, or name another folder by --to",
        ) from error
    finally:
        fresh.unlink(missing_ok=True)
    return path
