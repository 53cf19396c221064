"""The converged re-run, beside `ssh server true`."""

from collections.abc import Iterator
from pathlib import Path

from boxes import provisioned, say
from server import median_of_ssh
from tables import Row, ratios, spread, table

ROUNDS = 15
TITLE = "Converged re-run"


def measure(folder: Path, rounds: int) -> list[Row]:
    """Both in turn on one server."""
    say(f"converged re-run, {rounds} rounds")
    with provisioned(folder) as server:
        rows = []
        for _ in range(rounds):
            run = server.cli("apply", "--yes", "--json")
            if run.returncode or run.json["changes"]:
                raise SystemExit(f"the re-run changed something\n{run.end}")
            about = {key: run.json[key] for key in ("round_trips", "checked")}
            rows.append({"seconds": run.seconds, "ssh": median_of_ssh(server, 1), **about})
    return rows


def text(rows: list[Row]) -> Iterator[str]:
    """The section of the page."""
    runs, ssh = [row["seconds"] for row in rows], [row["ssh"] for row in rows]
    yield from table(
        ("", "median", "least", "most"),
        ("`mlops-install apply`", *spread(runs, "{:.2f} s")),
        ("`ssh server true`", *spread(ssh, "{:.2f} s")),
        ("ratio in one round", *spread(ratios(runs, ssh), "{:.1f}")),
    )
    last = rows[-1]
    yield (
        f"Rounds: {len(rows)}, in turn. {last['checked']} resources are asked in "
        f"{last['round_trips']} round trips, and nothing changes."
    )
