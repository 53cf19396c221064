"""Cold provisioning of a bare box: the installer beside a plain serial shell script."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import plain as serial
from boxes import bare, say, seconds
from mlops_install.actions import reach
from mlops_install.reaching import Options
from server import Server, answers
from tables import Row, ratios, spread, table

ROUNDS = 5
TITLE = "Cold provisioning"


def measure(folder: Path, rounds: int) -> list[Row]:
    """Both in turn; who begins changes from round to round."""
    rows = []
    for number in range(rounds):
        say(f"cold provisioning, round {number + 1} of {rounds}")
        both = [installer, plain] if number % 2 == 0 else [plain, installer]
        row: Row = {}
        for work in both:
            row |= work(folder)
        rows.append(row)
    return rows


def installer(folder: Path) -> Row:
    """Seconds of a first run without verification, and what took how long."""
    with bare(folder) as server:
        done = server.cli("apply", "--yes", "--no-verify", "--json")
        if done.returncode:
            raise SystemExit(done.output)
        return {"installer": done.seconds, "timings": done.json["timings"]}


def plain(folder: Path) -> Row:
    """Seconds of the plain shell script."""
    with bare(folder) as server:
        text = script(server)
        taken = seconds(lambda: server.ssh(text))
        if not answers(server):
            raise SystemExit("what the plain script made does not answer")
        return {"script": taken}


def script(server: Server) -> str:
    """The script for this server."""
    with reach(Options(server.name, server.config, server.ssh_config)) as (_, context):
        return serial.script(context)


def text(rows: list[Row]) -> Iterator[str]:
    """The section of the page."""
    installs, scripts = [r["installer"] for r in rows], [r["script"] for r in rows]
    yield from table(
        ("", "median", "least", "most"),
        ("installer", *spread(installs, "{:.1f} s")),
        ("plain shell script", *spread(scripts, "{:.1f} s")),
        ("ratio in one round", *spread(ratios(installs, scripts), "{:.2f}")),
    )
    yield (
        f"Rounds: {len(rows)}, in turn. The script has the shell text of the same steps, one after "
        "another, with one call of apt and Airflow's own migration, as a person would write them. "
        "It asks and proves nothing. The installer runs with `--no-verify`."
    )
    yield "The installer's quickest round, by stage:"
    yield from table(
        ("stage", "seconds", "lane that takes longest", "its longest resource"),
        *by_stage(quickest(rows)),
    )


def quickest(rows: list[Row]) -> list[dict[str, Any]]:
    """What took how long in the installer's quickest round: the critical path is drawn of it."""
    return list(min(rows, key=lambda row: row["installer"])["timings"])


def by_stage(timings: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    """Per stage its seconds, the lane that takes longest, and that lane's longest resource."""
    for stage in dict.fromkeys(t["stage"] for t in timings):
        rows = [t for t in timings if t["stage"] == stage]
        last = max(rows, key=lambda t: t["start"] + t["seconds"])
        lane = [t for t in rows if t["lane"] == last["lane"]]
        longest = max(lane, key=lambda t: t["seconds"])
        taken = last["start"] + last["seconds"] - min(t["start"] for t in rows)
        yield stage, f"{taken:.1f}", last["lane"], f"{longest['resource']} ({longest['seconds']} s)"
