"""The same server by pyinfra and by Ansible, beside ours: cold on a bare box, and converged."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from boxes import bare, say, seconds
from server import Server, answers, wait_for
from tables import Row, cell, table

from peers import given

ROUNDS = 2
CONVERGED = 3
"""Converged runs in each round."""
TITLE = "Beside pyinfra and Ansible"
CONFIG = "[pools]\ntraining = 2\n"
HERE = Path(__file__).parent
VENV = HERE.parents[1] / ".bench" / "peers"
STARTS = ("airflow db check-migrations -t 0", "airflow users list", "airflow pools list")
"""What the peers ask Airflow in each run; ours asks the database."""
NOTES = {"journal", "airflow answers"}
"""What ours keeps of its own runs, and no peer has."""


@dataclass(frozen=True)
class Peer:
    """A program that brings the server about.

    `words` make its command line of a server and the folder of what it is given; `changed` reads
    the number of changes in what it printed.
    """

    name: str
    words: Callable[[Server, Path], list[str]]
    changed: Callable[[str], int]
    folder: Path = HERE

    def run(self, server: Server, folder: Path) -> tuple[float, int]:
        """Seconds, and how much it changed."""
        begin = time.monotonic()
        done = subprocess.run(
            self.words(server, folder), cwd=self.folder, env=_environment(server, folder),
            capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        taken = time.monotonic() - begin
        if done.returncode:
            raise SystemExit(f"{self.name} failed\n{done.stdout[-5000:]}{done.stderr[-5000:]}")
        return taken, self.changed(done.stdout + done.stderr)


def _environment(server: Server, folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{VENV}/bin:{os.environ['PATH']}",
        "HOME": str(server.folder),
        "SSH_AUTH_SOCK": "",
        "SERVER": server.name,
        "SSH_CONFIG": str(server.ssh_config),
        "GIVEN": str(folder / "variables.json"),
    }


def _ours(server: Server, _: Path) -> list[str]:
    return server.words("apply", "--yes", "--no-verify", "--json")


def _pyinfra(server: Server, folder: Path) -> list[str]:
    return [f"{VENV}/bin/pyinfra", "-y", "inventory.py", "deploy.py"]


def _ansible(server: Server, folder: Path) -> list[str]:
    return [
        f"{VENV}/bin/ansible-playbook", "-i", f"{server.name},", "-u", "root",
        "--ssh-common-args", f"-F {server.ssh_config}",
        "-e", f"@{folder}/variables.json", "site.yml",
    ]  # fmt: skip


def _changes(output: str) -> int:
    return len(json.loads(output[output.index("{") : output.rindex("}") + 1])["changes"])


def _pyinfra_changed(output: str) -> int:
    """The column of success in the last line of its table: what was not changed stands beside."""
    [success] = re.findall(r"Grand total\s+\S+\s+(\S+)", output)
    return 0 if success == "-" else int(success)


def _ansible_changed(output: str) -> int:
    [changed] = re.findall(r"\bchanged=(\d+)", output)
    return int(changed)


OURS = Peer("mlops-install", _ours, _changes)
PEERS = (
    OURS,
    Peer("pyinfra", _pyinfra, _pyinfra_changed, HERE / "pyinfra"),
    Peer("Ansible", _ansible, _ansible_changed, HERE / "ansible"),
)


def install() -> None:
    """The peers, from their hash-pinned lock, into an environment of their own."""
    say("the peers' environment")
    uv = str(Path(sys.executable).with_name("uv"))
    subprocess.run([uv, "venv", "-q", "--clear", str(VENV)], check=True)
    lock = str(HERE / "requirements.txt")
    words = [uv, "pip", "install", "-q", "--python", str(VENV), "--require-hashes", "-r", lock]
    subprocess.run(words, check=True)


def measure(folder: Path, rounds: int) -> list[Row]:
    """One after another in each round, each on a bare box of its own."""
    install()
    rows = []
    for number in range(rounds):
        row: Row = {}
        for peer in PEERS:
            say(f"{peer.name}, round {number + 1} of {rounds}")
            row[peer.name] = one(peer, folder)
        rows.append(row)
    return rows


def one(peer: Peer, folder: Path) -> Row:
    """Cold and converged; the end state is judged by our plan."""
    with bare(folder, CONFIG) as server:
        files = server.folder / "given"
        given.write(server, files)
        cold, _ = peer.run(server, files)
        wait_for(lambda: answers(server), "Airflow", 120)
        runs = [peer.run(server, files) for _ in range(CONVERGED)]
        if any(changed for _, changed in runs):
            raise SystemExit(f"a converged run of {peer.name} changed something")
        return {
            "cold": cold,
            "converged": [taken for taken, _ in runs],
            "starts": seconds(lambda: server.ssh(" && ".join(STARTS))),
            "left": left(server),
        }


def left(server: Server) -> list[str]:
    """What our plan would change in the end state; more than our own notes is an error."""
    # A role without this comment is somebody else's, and the installer would not go on.
    server.sql("comment on role airflow is 'mlops-install'")
    done = server.cli("plan", "--json")
    found = [change["resource"] for change in done.json["changes"]]
    if other := [name for name in found if name not in NOTES]:
        raise SystemExit(f"not the same end state: {', '.join(other)}\n{done.end}")
    return found


def text(rows: list[Row]) -> Iterator[str]:
    """The section of the page."""
    yield from table(
        ("", "cold", "converged", "cold, ratio to ours", "converged, ratio to ours"),
        *(_line(peer.name, rows) for peer in PEERS),
    )
    yield (
        f"Medians, with least and most; {len(rows)} rounds, in turn, each on a bare box of its "
        f"own. A round has one cold run and {CONVERGED} converged ones; ratios are of one round. "
        "All three are given the same files, settings and lock files, and install with uv. None "
        "verifies. A converged run that changes something ends the benchmark, and so does an end "
        "state in which `mlops-install plan` finds more to do than notes of its own. "
        "The peers' files are in `benchmarks/peers/`."
    )
    shares = (
        f"{cell([row[peer.name]['starts'] for row in rows], '{:.1f} s')} ({peer.name})"
        for peer in PEERS[1:]
    )
    yield (
        "Of a converged run the peers spend a part in three starts of Airflow's command line "
        "(migrations, users, pools), which is how their users ask Airflow. Timed alone, these take "
        f"{' and '.join(shares)}; without them the ratios would be "
        f"{' and '.join(_without(peer.name, rows) for peer in PEERS[1:])}."
    )


def _line(name: str, rows: list[Row]) -> tuple[str, ...]:
    cold = [row[name]["cold"] for row in rows]
    converged = [taken for row in rows for taken in row[name]["converged"]]
    return (
        name,
        cell(cold, "{:.1f} s"),
        cell(converged, "{:.2f} s"),
        cell([row[name]["cold"] / row[OURS.name]["cold"] for row in rows], "{:.2f}"),
        cell([_converged(row, name) / _converged(row, OURS.name) for row in rows], "{:.1f}"),
    )


def _converged(row: Row, name: str) -> float:
    return float(median(row[name]["converged"]))


def _without(name: str, rows: list[Row]) -> str:
    found = [
        (_converged(row, name) - row[name]["starts"]) / _converged(row, OURS.name) for row in rows
    ]
    return f"{cell(found, '{:.1f}')} ({name})"
