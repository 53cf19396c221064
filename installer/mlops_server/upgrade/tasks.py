"""DAGs and task instances in Airflow's database, by SQL: the API may be down."""

from dataclasses import dataclass

from mlops_server import database, sql

CANARY = "mlops_canary"
"""The DAG of the verification, which is never paused."""
ACTIVE = """\
select dag_id as dag, run_id as run, task_id as task, map_index as map, try_number as attempt,
  state, round(extract(epoch from now() - coalesce(start_date, queued_dttm, now()))) as age
  from task_instance where state in ('running', 'queued', 'restarting')
  order by start_date, dag_id, run_id, task_id, map_index"""


@dataclass(frozen=True)
class Task:
    """A task instance that is at work; `age` in seconds, `attempt` counts from 1."""

    dag: str
    run: str
    task: str
    map: int
    attempt: int
    state: str
    age: int

    def __str__(self) -> str:
        name = self.task if self.map < 0 else f"{self.task}[{self.map}]"
        return (
            f"{self.dag} {self.run} {name}, try {self.attempt}, {self.state} for {span(self.age)}"
        )


def span(seconds: float) -> str:
    """A length of time for people."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def active() -> list[Task]:
    """Who is at work, the longest first."""
    return [Task(**row) for row in sql.rows(ACTIVE, database.NAME)]


def unpaused() -> list[str]:
    """The DAGs that would start tasks; the canary runs only when it is asked."""
    query = f"select dag_id from dag where not is_paused and dag_id <> '{CANARY}' order by dag_id"
    return [row["dag_id"] for row in sql.rows(query, database.NAME)]


def set_paused(dags: list[str], *, paused: bool) -> None:
    """Pause or unpause these DAGs; those that are gone are left out."""
    if dags:
        names = ", ".join(sql.literal(dag) for dag in dags)
        query = f"update dag set is_paused = {str(paused).lower()} where dag_id in ({names})"
        database.psql(query, database.NAME)


def runs() -> int:
    """How many DAG runs there are."""
    return int(sql.rows("select count(*) as runs from dag_run", database.NAME)[0]["runs"])
