"""What the parts of Airflow use on a server: CPU time and memory, as their cgroups tell it."""

from dataclasses import dataclass

from server import Server, wait_for

PARTS = {  # part -> its units
    "API server": "airflow-api-server@*.service",
    "schedulers": "airflow-scheduler@*.service",
    "tasks": "airflow-tasks@*.service",
    "DAG processor": "airflow-dag-processor.service",
    "triggerer": "airflow-triggerer.service",
    "PostgreSQL": "postgresql@*.service",
    "nginx": "nginx.service",
}
CPU = """\
find /sys/fs/cgroup -type d -name '{units}' | while read -r group; do
  sed -n 's/^usage_usec //p' "$group/cpu.stat"
done"""
# Of a process that ends meanwhile nothing is printed.
PROCESSES = """\
for p in $(cat /sys/fs/cgroup/airflow.slice/airflow-{scheduler,tasks}@*.service/cgroup.procs); do
  pss=$(awk '/^Pss:/ {print $2}' /proc/$p/smaps_rollup 2>/dev/null)
  words=$(tr '\\0' ' ' < /proc/$p/cmdline 2>/dev/null)
  [ -z "$pss" ] || echo "$pss $words"
done
exit 0"""
WORKER = "LocalExecutor"
IDLE = "<idle>"


def cpu(server: Server) -> dict[str, float]:
    """CPU seconds since their start, by part; what has ended in a unit is in it."""
    script = "\n".join(
        f"echo {index} $({CPU.format(units=units)})" for index, units in enumerate(PARTS.values())
    )
    found = [line.split()[1:] for line in server.ssh(script).splitlines()]
    return {part: sum(map(int, words)) / 1e6 for part, words in zip(PARTS, found, strict=True)}


def used(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """CPU seconds between two looks."""
    return {part: after[part] - before[part] for part in PARTS}


@dataclass(frozen=True)
class Schedulers:
    """The processes of all schedulers: memory in KiB (PSS), and how many do what.

    A scheduler forks its workers. The process of a task is forked by the runner beside the
    scheduler, with Airflow's own executor by the worker.
    """

    memory: int
    processes: int
    workers: int
    idle: int


def schedulers(server: Server) -> Schedulers:
    """A look at the schedulers."""
    return parse(server.ssh(PROCESSES))


def parse(shown: str) -> Schedulers:
    """What a look says: in a line the KiB and the words of a process."""
    lines = [line.partition(" ")[::2] for line in shown.splitlines()]
    workers = [words for _, words in lines if WORKER in words]
    return Schedulers(
        memory=sum(int(kib) for kib, _ in lines),
        processes=len(lines),
        workers=len(workers),
        idle=sum(IDLE in words for words in workers),
    )


def idle_schedulers(server: Server) -> Schedulers:
    """The schedulers once all of their workers wait, and no task is left.

    A look at any other moment is a fault: a run is over in the database seconds before the
    processes of its last tasks end, each of them with about as much memory as all idle workers.
    """
    seen: list[Schedulers] = []

    def quiet() -> bool:
        seen.append(schedulers(server))
        last = seen[-3:]
        same = len(last) == 3 and len({look.processes for look in last}) == 1
        return same and all(look.idle == look.workers for look in last)

    wait_for(quiet, "idle workers", 180, 2)
    return seen[-1]
