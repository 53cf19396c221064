"""Measure on disposable boxes, and write docs/performance.md: run it on a quiet machine.

Cold provisioning by stage beside a plain serial shell script, the converged re-run, and no-op
tasks per minute beside Airflow's own defaults on the same box.
"""

import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from mlops_install import box  # noqa: E402
from mlops_install.actions import Options, reach  # noqa: E402
from plain import script  # noqa: E402
from server import Server, answers, make, median_of_ssh, wait_for  # noqa: E402

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "2"))
SYSTEM = os.environ.get("BENCH_SYSTEM", "debian-12")
OUT = ROOT / "docs" / "performance.md"
TASKS = 150
DAG = f"""\
from airflow.sdk import dag, task

@task(retries=0)
def nothing(number):
    pass

@dag(schedule=None, is_paused_upon_creation=False)
def bench():
    nothing.expand(number=list(range({TASKS})))

bench()
"""
SPAN = """\
select round(extract(epoch from max(end_date) - min(start_date))::numeric, 2),
       round(avg(extract(epoch from start_date - queued_dttm))::numeric, 3),
       count(*) filter (where state = 'success')
  from task_instance where dag_id = 'bench' and run_id = '{run}'"""
OURS = ("parallelism", "min_heartbeat_interval")


def say(text: str) -> None:
    """Progress for people."""
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", file=sys.stderr, flush=True)


def cold(folder: Path) -> tuple[Server, dict[str, object]]:
    """Provision a bare box; the server, and what the installer said."""
    server = make(SYSTEM, folder)
    server.config.write_text("")
    done = server.cli("apply", "--yes", "--no-verify", "--json")
    if done.returncode:
        raise SystemExit(done.output)
    return server, {**done.json, "seconds": done.seconds}


def plain(folder: Path) -> float:
    """Seconds of the plain shell script on a bare box."""
    server = make(SYSTEM, folder)
    server.config.write_text("")
    script = plain_script(server)
    begin = time.monotonic()
    server.ssh(script)
    seconds = time.monotonic() - begin
    if not answers(server):
        raise SystemExit("what the plain script made does not answer")
    box.down(server.name)
    return seconds


def plain_script(server: Server) -> str:
    """The steps of a first run one after another: nothing is asked or proved."""
    options = Options(server.name, server.config, server.ssh_config)
    with reach(options) as (_, context):
        return script(context)


def converged(server: Server) -> dict[str, float]:
    """The silent re-run beside `ssh server true`; medians of five."""
    runs = [server.cli("apply", "--yes", "--json") for _ in range(5)]
    if any(run.json["changes"] for run in runs):
        raise SystemExit("the re-run changed something")
    return {
        "seconds": statistics.median(run.seconds for run in runs),
        "ssh": median_of_ssh(server),
        "round_trips": runs[0].json["round_trips"],
        "checked": runs[0].json["checked"],
    }


def throughput(server: Server) -> tuple[float, float]:
    """Span in seconds of one run of no-op tasks, and their mean wait from queued to started."""
    token = server.token()
    body = {"logical_date": None}
    run = server.api("POST", "/api/v2/dags/bench/dagRuns", body, token)["dag_run_id"]

    def ended() -> bool:
        state = server.api("GET", f"/api/v2/dags/bench/dagRuns/{run}", token=token)["state"]
        return state in ("success", "failed")

    wait_for(ended, "the tasks", 600, 1)
    span, wait, good = server.sql(SPAN.format(run=run)).split("|")
    if int(good) != TASKS:
        raise SystemExit(f"{good} of {TASKS} tasks succeeded")
    return float(span), float(wait)


def both_settings(server: Server) -> Iterator[tuple[str, float, float, int]]:
    """Ours and Airflow's defaults in turn, on one box: name, span, wait, memory."""
    server.ssh(f"cat > /opt/mlops/dags/bench.py <<'END'\n{DAG}END")
    known = "select count(*) from dag where dag_id = 'bench'"
    wait_for(lambda: server.sql(known) == "1", "the DAG", 120)
    for round_ in range(ROUNDS):
        for name in ("ours", "Airflow's defaults"):
            _use(server, defaults=name != "ours")
            say(f"throughput, {name}, round {round_ + 1}")
            throughput(server)  # warms up
            yield name, *throughput(server), memory_of_schedulers(server)


def memory_of_schedulers(server: Server) -> int:
    """Proportional set size in MiB of the schedulers with their waiting workers."""
    pss = "awk '/^Pss:/ {print $2}' /proc/$p/smaps_rollup"
    groups = "/sys/fs/cgroup/airflow.slice/airflow-scheduler@*.service/cgroup.procs"
    found = server.ssh(f"for p in $(cat {groups}); do {pss}; done")
    return sum(map(int, found.split())) // 1024


def _use(server: Server, *, defaults: bool) -> None:
    if defaults:
        drop = "".join(f" -e '/^{key} =/d'" for key in OURS)
        server.ssh(f"sed -i {drop} /etc/mlops/airflow.cfg")  # the defaults are 32 and 5
        server.ssh("systemctl restart 'airflow-api-server@*' 'airflow-scheduler@*'")
    else:
        server.apply()
    wait_for(lambda: answers(server), "Airflow", 120)
    time.sleep(20)  # all forked workers are up, caches are filled


def by_stage(timings: list[dict[str, object]]) -> Iterator[tuple[str, float, str, str]]:
    """Per stage its seconds, the lane that takes longest, and that lane's longest resource."""
    for stage in dict.fromkeys(str(t["stage"]) for t in timings):
        rows = [t for t in timings if t["stage"] == stage]
        begin = min(float(t["start"]) for t in rows)
        last = max(rows, key=lambda t: float(t["start"]) + float(t["seconds"]))
        lane = [t for t in rows if t["lane"] == last["lane"]]
        longest = max(lane, key=lambda t: float(t["seconds"]))
        seconds = float(last["start"]) + float(last["seconds"]) - begin
        what = f"{longest['resource']} ({longest['seconds']} s)"
        yield stage, seconds, str(last["lane"]), what


def main() -> None:
    """Measure everything and write the page."""
    folder = Path(tempfile.mkdtemp())
    box.reap()
    installs, scripts = [], []
    for round_ in range(ROUNDS):
        say(f"cold provisioning, round {round_ + 1}")
        server, run = cold(folder)
        installs.append(run)
        if round_ + 1 < ROUNDS:
            box.down(server.name)
        say(f"plain script, round {round_ + 1}")
        scripts.append(plain(folder))
    say("converged re-run")
    silent = converged(server)
    tasks = list(both_settings(server))
    box.down(server.name)
    data = {"installs": installs, "scripts": scripts, "silent": silent, "tasks": tasks}
    (folder / "figures.json").write_text(json.dumps(data, default=str))
    OUT.write_text(page(installs, scripts, silent, tasks))
    say(f"wrote {OUT}; raw figures in {folder}/figures.json")


def page(installs, scripts, silent, tasks) -> str:
    """The page as Markdown."""
    best = min(installs, key=lambda run: run["seconds"])
    ratio = statistics.median(i["seconds"] / s for i, s in zip(installs, scripts, strict=True))
    spans = {
        n: [row[1:] for row in tasks if row[0] == n] for n in dict.fromkeys(t[0] for t in tasks)
    }
    lines = [
        "# Performance",
        "",
        f"Measured {datetime.now(UTC):%Y-%m-%d} by `make bench` on {os.cpu_count()} cores and "
        f"{memory()} GiB, Linux {platform.release().split('-')[0]}, in a {SYSTEM} box. Trust "
        "ratios more than seconds: everything in one table was taken in turn on one machine.",
        "",
        "## Cold provisioning",
        "",
        "| round | installer | plain shell script | ratio |",
        "|---|---|---|---|",
        *(
            f"| {n} | {i['seconds']:.1f} s | {s:.1f} s | {i['seconds'] / s:.2f} |"
            for n, (i, s) in enumerate(zip(installs, scripts, strict=True), 1)
        ),
        "",
        f"Median ratio {ratio:.2f}. The script has the shell text of the same steps, one after "
        "another, with one apt call and Airflow's own migration; it asks and proves nothing.",
        "",
        "Critical path of the installer's best round:",
        "",
        "| stage | seconds | lane that takes longest | its longest resource |",
        "|---|---|---|---|",
        *(f"| {s} | {t:.1f} | {lane} | {what} |" for s, t, lane, what in by_stage(best["timings"])),
        "",
        "## Converged re-run",
        "",
        f"{silent['checked']:.0f} resources, {silent['round_trips']:.0f} round trips, "
        f"{silent['seconds']:.2f} s beside {silent['ssh']:.2f} s for `ssh server true` "
        "(medians of 5).",
        "",
        f"## {TASKS} no-op tasks in one run, two schedulers",
        "",
        "| settings | span | tasks per minute | queued to started | memory of schedulers |",
        "|---|---|---|---|---|",
        *(
            f"| {name} | {span:.1f} s | {60 * TASKS / span:.0f} | {wait:.2f} s | {mb} MiB |"
            for name, span, wait, mb in tasks
        ),
        "",
        "Ours against Airflow's defaults, medians: "
        f"{_median(spans, 1, 0) / _median(spans, 0, 0):.2f} times the tasks per minute in "
        f"{_median(spans, 0, 2) / _median(spans, 1, 2):.2f} times the memory.",
    ]
    return "\n".join(lines) + "\n"


def _median(rows, setting: int, column: int) -> float:
    return statistics.median(row[column] for row in list(rows.values())[setting])


def memory() -> int:
    """GiB of this machine."""
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


if __name__ == "__main__":
    main()
