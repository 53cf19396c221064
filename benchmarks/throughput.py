"""No-op tasks on ours and on Airflow's default settings: how fast, for how much CPU and memory."""

import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import usage
from boxes import provisioned, say
from server import Server, answers, wait_for
from tables import Row, cell, ratios, table

ROUNDS = 3
TASKS = 150
TITLE = f"{TASKS} no-op tasks in one run, two schedulers"
OURS, DEFAULTS = "ours", "Airflow's defaults"
DIFFERENT = ("executor", "parallelism", "min_heartbeat_interval")
"""What ours sets; the defaults are LocalExecutor, 32 and 5."""
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
IDLE_SECONDS = 20


def measure(folder: Path, rounds: int) -> list[Row]:
    """Both settings in turn, on one server."""
    with provisioned(folder) as server:
        server.ssh(f"cat > /opt/mlops/dags/bench.py <<'END'\n{DAG}END")
        known = "select count(*) from dag where dag_id = 'bench'"
        wait_for(lambda: server.sql(known) == "1", "the DAG", 120)
        rows = []
        for number in range(rounds):
            for name in (OURS, DEFAULTS):
                say(f"throughput, {name}, round {number + 1} of {rounds}")
                rows.append({"settings": name, **one(server, name)})
    return rows


def one(server: Server, name: str) -> Row:
    """One round with these settings."""
    use(server, defaults=name == DEFAULTS)
    fresh = usage.idle_schedulers(server)
    run(server)  # warms up
    idle = idle_cpu(server)
    before, begin = usage.cpu(server), time.monotonic()
    span, wait = run(server)
    ended = usage.schedulers(server)
    after = usage.idle_schedulers(server)
    cpu, took = usage.used(before, usage.cpu(server)), time.monotonic() - begin
    return {
        "span": span,
        "wait": wait,
        "cpu": {part: (cpu[part] - idle[part] * took) / TASKS for part in usage.PARTS},
        "idle": idle,
        "fresh": asdict(fresh),
        "ended": asdict(ended),
        "after": asdict(after),
    }


def use(server: Server, *, defaults: bool) -> None:
    """Airflow runs with these settings, started anew."""
    if defaults:
        drop = "".join(f" -e '/^{key} =/d'" for key in DIFFERENT)
        server.ssh(f"sed -i {drop} /etc/mlops/airflow.cfg")
    else:
        server.apply()
    # In both cases, so that both are measured after an equal time.
    server.ssh("systemctl restart 'airflow-api-server@*' 'airflow-scheduler@*'")
    wait_for(lambda: answers(server), "Airflow", 120)


def idle_cpu(server: Server) -> dict[str, float]:
    """The share of a core that each part takes while there is nothing to do."""
    usage.idle_schedulers(server)
    before, begin = usage.cpu(server), time.monotonic()
    time.sleep(IDLE_SECONDS)
    taken = usage.used(before, usage.cpu(server))
    return {part: seconds / (time.monotonic() - begin) for part, seconds in taken.items()}


def run(server: Server) -> tuple[float, float]:
    """Span in seconds of one run of the tasks, and their mean wait from queued to started."""
    made = server.api("POST", "/api/v2/dags/bench/dagRuns", {"logical_date": None})["dag_run_id"]
    state = f"select state from dag_run where dag_id = 'bench' and run_id = '{made}'"

    # Asked of the database: the API server's time is measured.
    def ended() -> bool:
        return server.sql(state) in ("success", "failed")

    wait_for(ended, "the tasks", 600, 1)
    span, wait, good = server.sql(SPAN.format(run=made)).split("|")
    if int(good) != TASKS:
        raise SystemExit(f"{good} of {TASKS} tasks succeeded")
    return float(span), float(wait)


def text(rows: list[Row]) -> Iterator[str]:
    """The section of the page."""
    ours, theirs = ([r for r in rows if r["settings"] == name] for name in (OURS, DEFAULTS))
    yield from table(
        ("settings", "span", "tasks per minute", "queued to started"),
        *(
            (
                name,
                cell([r["span"] for r in some], "{:.1f} s"),
                cell([60 * TASKS / r["span"] for r in some], "{:.0f}"),
                cell([r["wait"] for r in some], "{:.2f} s"),
            )
            for name, some in ((OURS, ours), (DEFAULTS, theirs))
        ),
    )
    speed = ratios([r["span"] for r in theirs], [r["span"] for r in ours])
    yield (
        "Medians, with least and most. Ours run "
        f"{cell(speed, '{:.2f}')} times the tasks per minute of Airflow's defaults."
    )
    yield "### CPU seconds for each task"
    yield from table(
        ("part", OURS, DEFAULTS, "idle, ours", "idle, defaults"),
        *(_part(part, ours, theirs) for part in usage.PARTS),
        _sum(ours, theirs),
    )
    yield (
        "CPU time of the part's cgroup from before the run until all workers wait again, less what "
        "it takes idle in that time, divided by the tasks. With Airflow's defaults the tasks are "
        f"part of the schedulers. Idle: the share of a core over {IDLE_SECONDS} s with nothing "
        "to do."
    )
    yield "### Memory of idle schedulers"
    yield from table(
        ("settings", "workers", "after a start", "after 300 tasks", "as a run ends"),
        *(_memory(name, some) for name, some in ((OURS, ours), (DEFAULTS, theirs))),
    )
    yield (
        "Proportional set size (PSS) of all processes in the units of both schedulers and of their "
        "tasks. The first two are read once every worker is there and waits, and no process of a "
        "task is left, in three looks one after another. The last one is read as soon as the "
        "database says that the run is over: the processes of its last tasks may still be there, "
        "in brackets how many processes there were. It tells nothing of idle "
        "schedulers; earlier versions of this page took it for that."
    )


def _part(part: str, ours: list[Row], theirs: list[Row]) -> tuple[str, ...]:
    cpu = (cell([r["cpu"][part] for r in some], "{:.3f}") for some in (ours, theirs))
    idle = (cell([100 * r["idle"][part] for r in some], "{:.1f} %") for some in (ours, theirs))
    return part, *cpu, *idle


def _sum(ours: list[Row], theirs: list[Row]) -> tuple[str, ...]:
    cpu = (cell([sum(r["cpu"].values()) for r in some], "{:.3f}") for some in (ours, theirs))
    idle = (
        cell([100 * sum(r["idle"].values()) for r in some], "{:.1f} %") for some in (ours, theirs)
    )
    return "all", *cpu, *idle


def _memory(name: str, rows: list[Row]) -> tuple[str, ...]:
    idle = (cell([_mib(row[at]) for row in rows], "{:.0f} MiB") for at in ("fresh", "after"))
    ended = ", ".join(f"{_mib(row['ended']):.0f} MiB ({row['ended']['processes']})" for row in rows)
    return name, str(rows[-1]["fresh"]["workers"]), *idle, ended


def _mib(look: dict[str, float]) -> float:
    return look["memory"] / 1024
