"""What runs on the server, and how it is: one round trip."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from mlops_install import probe
from mlops_install.answer import Answer, understood
from mlops_install.backups import newest
from mlops_install.context import Context
from mlops_install.host import Host
from mlops_install.resources.environment import PROGRAM
from mlops_install.sql import CLIENT, rows, select

REJECTED = 3
"""How many of the commits that were kept out are shown."""
NEAR, LAST_DAYS = 30, 14
"""Days left of a certificate from which on there is a word, and from which on it is bad."""
JOBS = """\
select job_type, hostname, round(extract(epoch from now() - latest_heartbeat)) as age
  from job where state = 'running' order by 1, 2"""
TASKS = """\
select coalesce(state, 'none') as state, count(*) as number from task_instance
  where state in ('running', 'queued', 'scheduled', 'deferred', 'up_for_retry') group by 1"""


@dataclass(frozen=True)
class Line:
    """One line of the report; `ok` is None where there is no good or bad."""

    what: str
    state: str
    ok: bool | None = None


@dataclass(frozen=True)
class Status:
    """Everything that was found."""

    lines: tuple[Line, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing is bad."""
        return all(line.ok is not False for line in self.lines)

    def rows(self) -> list[tuple[str, str, str]]:
        """As rows of a table."""
        words = {None: "", True: "ok", False: "FAILED"}
        return [(words[line.ok], line.what, line.state) for line in self.lines]

    def as_json(self) -> dict[str, Any]:
        """As data."""
        lines = [asdict(line) for line in self.lines]
        return {"version": 1, "healthy": self.healthy, "status": lines}


def gather(host: Host, context: Context) -> Status:
    """Ask the server."""
    replies = probe.ask(host, _scripts(context))
    with understood("its state", "\n".join(reply.text for reply in replies)):
        return Status(tuple(_lines(context, replies)))


def _lines(context: Context, replies: list[Answer]) -> Iterator[Line]:
    (version, units, jobs, tasks, disk, runs, release, environments, backups, upgrade,
     certificate) = replies  # fmt: skip
    facts = context.facts
    yield Line(
        "server", f"{facts.os_id} {facts.os_version}, {facts.cpus} CPUs, {facts.memory_mb} MiB"
    )
    yield Line("url", context.base_url)
    yield Line("airflow", version.text.strip() or "not installed", bool(version.text.strip()))
    yield from (_unit(line) for line in units.text.splitlines() if line.strip())
    yield from (_job(row) for row in rows(jobs.text))
    yield Line("tasks", _tasks(rows(tasks.text)))
    yield from _workflows(release.text)
    yield from (_environment(line) for line in environments.text.splitlines() if line.strip())
    yield from (_disk(line) for line in disk.text.splitlines() if line.strip())
    yield _backup(backups.text)
    yield from _upgrade(upgrade.text)
    yield from _certificate(certificate.text, given=bool(context.config.proxy.certificate))
    yield Line("last run", runs.text.strip() or "never")


def _scripts(context: Context) -> list[str]:
    number = context.config.airflow.schedulers
    units = ["nginx", f"postgresql@{context.facts.postgres_version}-main",
             "airflow-dag-processor", "airflow-triggerer",
             *(f"airflow-scheduler@{i}" for i in range(1, number + 1))]  # fmt: skip
    slots = "systemctl list-units --plain --no-legend 'airflow-api-server@*' | cut -d. -f1"
    shown = (
        f"slots=$({slots})\nfor u in {' '.join(units)} ${{slots:-airflow-api-server}}; do"
        ' echo "$u $(systemctl is-active $u)"; done'
    )
    return [
        "ls -d /opt/mlops/airflow/current/lib/python3*/site-packages/apache_airflow-*.dist-info"
        " 2>/dev/null | sed 's/.*apache_airflow-\\(.*\\).dist-info/\\1/'; true",
        shown,
        f"(\n{CLIENT}{select(JOBS, database='airflow')}\n) || true",
        f"(\n{CLIENT}{select(TASKS, database='airflow')}\n) || true",
        "df -Pm / /opt /var /srv 2>/dev/null | awk 'NR > 1 && !seen[$6]++ {print $6, $4, $5}'",
        "cat /var/lib/mlops/last_run 2>/dev/null || true",
        'basename "$(readlink /srv/mlops/workflows/current)"\n'
        f"! grep -qs ^repository /etc/mlops/workflows.toml || {PROGRAM} workflows status --json",
        "for f in /opt/mlops/envs/*/current/.mlops/ready.json; do"
        " [ ! -f $f ] || tr -d '\\n' < $f; echo; done",
        f"{newest()}\nsystemctl is-failed mlops-backup.service; true",
        "cd /var/lib/mlops/upgrade 2>/dev/null || exit 0\nfor f in state.json last.json; do"
        " [ ! -f $f ] || tr -d '\\n' < $f; echo; done",
        "end=$(openssl x509 -in /etc/mlops/tls/certificate.pem -noout -enddate) || exit 0\n"
        'at=$(date -d "${end#*=}" +%s)\n'
        "echo $(date -ud @$at +%F) $(((at - $(date +%s)) / 86400))",
    ]


def _unit(line: str) -> Line:
    unit, state = line.split()
    return Line(unit, state, state == "active")


def _job(row: dict[str, Any]) -> Line:
    kind, hostname, age = row["job_type"], row["hostname"] or "", row["age"]
    name = hostname.removesuffix(".localhost") if kind == "SchedulerJob" else kind
    if age is None:
        return Line(f"heartbeat of {name}", "none yet", False)
    return Line(f"heartbeat of {name}", f"{age} s ago", age < 60)


def _tasks(found: list[dict[str, Any]]) -> str:
    return ", ".join(f"{row['state']} {row['number']}" for row in found) or "none"


def _workflows(text: str) -> Iterator[Line]:
    name, _, known = text.strip().partition("\n")
    found = json.loads(known) if known else {}
    about = found.get("active") or {}
    held = ", held: `mlops-install workflows release` ends that" if found.get("held") else ""
    yield Line("workflows", f"{name or 'none yet'} {about.get('subject', '')}".strip() + held)
    for one in found.get("rejected", ())[:REJECTED]:
        tip = one["commit"] == found.get("seen")  # older ones were put right by a later commit
        yield Line(f"rejected {one['commit'][:12]}", one["reason"], False if tip else None)


def _upgrade(text: str) -> Iterator[Line]:
    state, last = (json.loads(line) if line else {} for line in (text + "\n\n").split("\n")[:2])
    if state:
        about = f"{state['kind']} from {state['old']} to {state['new']}: {state['phase']}"
        yield Line("open upgrade", about, False)
    if last:
        reason = f" ({last['reason']})" if last["reason"] else ""
        yield Line("last upgrade", f"{last['at']} {last['message']}{reason}")


def _environment(line: str) -> Line:
    found = json.loads(line)
    words = (
        f"{found['lock_hash']}, Python {found['python']}, {found['packages']} packages,"
        f" {found['bytes'] // 2**20} MiB"
    )
    return Line(f"environment {found['model']}", words, True)


def _backup(text: str) -> Line:
    *names, state = text.split() or ["unknown"]
    failed = ", and the last try failed: `journalctl -u mlops-backup`" if state == "failed" else ""
    return Line("last backup", (names[0] if names else "none yet") + failed, not failed)


def _certificate(text: str, *, given: bool) -> Iterator[Line]:
    if not text.strip():
        return
    end, days = text.split()
    left = int(days)
    words = f"ends on {end}, in {left} days" if left >= 0 else f"ended on {end}"
    if left < NEAR:
        words += ": give a newer one in [proxy]" if given else ": `mlops-install apply` renews it"
    yield Line("certificate", words, left >= LAST_DAYS)


def _disk(line: str) -> Line:
    mount, free, used = line.split()
    return Line(f"disk {mount}", f"{free} MiB free, {used} used", int(free) > 500)
