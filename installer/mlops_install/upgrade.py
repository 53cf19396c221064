"""What a plan means as an upgrade of Airflow: from, to, and what people will notice of it."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from mlops_install.answer import understood
from mlops_install.context import Context
from mlops_install.errors import ConfigError
from mlops_install.host import Host
from mlops_install.plan import Change, Plan
from mlops_install.probe import ask
from mlops_install.resources.airflow import Contents
from mlops_install.resources.apiserver import ApiServer
from mlops_install.resources.file import Link
from mlops_install.resources.systemd import Services
from mlops_install.sql import rows, select

CURRENT = "/opt/mlops/airflow/current"
TASKS = """\
select dag_id as dag, run_id as run, task_id as task, try_number as attempt, state,
  round(extract(epoch from now() - coalesce(start_date, queued_dttm, now()))) as age
  from task_instance where state in ('running', 'queued', 'restarting') order by start_date"""
MANY = 10
"""How many running tasks are shown."""


@dataclass(frozen=True)
class Task:
    """A task instance at work; `age` in seconds, `attempt` counts from 1."""

    dag: str
    run: str
    task: str
    attempt: int
    state: str
    age: int


@dataclass(frozen=True)
class Upgrade:
    """An upgrade that a plan amounts to. `drain_timeout` in seconds.

    `schema`: the database changes, so Airflow is drained, stopped and saved; otherwise its
    services restart one after another.
    """

    old: str
    new: str
    schema: bool
    restarts: tuple[str, ...]
    drain_timeout: int
    tasks: tuple[Task, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As data; `from` and `to` are the versions."""
        found = asdict(self)
        return {"from": found.pop("old"), "to": found.pop("new"), **found}

    def lines(self) -> Iterator[str]:
        """For people."""
        kind = "changes" if self.schema else "stays as it is"
        yield f"upgrade of Airflow {self.old} → {self.new}: the database schema {kind}"
        yield from self._schema() if self.schema else self._rolling()
        yield f"  at work now: {len(self.tasks)} tasks"
        for task in self.tasks[:MANY]:
            yield f"    {task.dag} {task.run} {task.task}, {task.state} for {task.age} s"

    def _schema(self) -> Iterator[str]:
        yield (
            f"  DAGs are paused, and tasks have {self.drain_timeout} s (drain_timeout) to end;"
            " nothing is stopped before"
        )
        yield "  then Airflow is stopped, its database saved and migrated, and all of it verified;"
        yield "  when anything fails, the server goes back to what it runs now by itself"

    def _rolling(self) -> Iterator[str]:
        yield f"  restarted one after another: {', '.join(self.restarts)}"
        yield (
            f"  each scheduler first waits for its tasks, {self.drain_timeout} s (drain_timeout)"
            " at most; the others go on"
        )


def find(plan: Plan, context: Context) -> Upgrade | None:
    """The upgrade that a plan amounts to, without the tasks.

    Raises `ConfigError` when the database does not tell what it is.
    """
    old, new = context.facts.airflow, context.config.airflow.version
    moved = any(_moves(change) for change in plan.changes)
    if not old or not moved:
        return None
    if not context.facts.database:
        raise ConfigError(
            "PostgreSQL does not answer on the server, so nobody knows whether this upgrade"
            " changes the database; nothing was changed",
            fix="`systemctl start postgresql` there; `journalctl -u 'postgresql@*'` tells more",
        )
    if not context.facts.schema:  # a first run was broken off before there was anything to save
        return None
    schema = any(_migrates(change) for change in plan.changes)
    return Upgrade(old, new, schema, tuple(_restarts(plan)), context.config.airflow.drain_timeout)


def with_tasks(host: Host, upgrade: Upgrade) -> Upgrade:
    """The upgrade with what is at work on the server: one round trip."""
    (answer,) = ask(host, [f"{select(TASKS, database='airflow')} || true"])
    with understood("its tasks", answer.text):
        return replace(upgrade, tasks=tuple(Task(**row) for row in rows(answer.text)))


def _moves(change: Change) -> bool:
    resource = change.resource
    return isinstance(resource, Link) and resource.path == CURRENT


def _migrates(change: Change) -> bool:
    heads = [d for d in change.differences if d.key.startswith("heads.")]
    return isinstance(change.resource, Contents) and bool(heads)


def _restarts(plan: Plan) -> Iterator[str]:
    for change in plan.changes:
        for found in change.differences if isinstance(change.resource, Services) else ():
            if found.key.endswith(".inputs"):
                yield found.key.removeprefix("units.").removesuffix(".inputs")
        if isinstance(change.resource, ApiServer):
            yield "API server"
