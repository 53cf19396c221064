"""Airflow's database contents, and whether Airflow answers."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from mlops_install.resource import ABSENT, Resource, Run, Step
from mlops_install.shell import here, sh
from mlops_install.sql import CLIENT, Query, literal, rows, sql

ANSWERED = "/var/lib/mlops/answered"  # not in /run: a reboot leaves nothing to do
MARK = "made by mlops-install"
STATE_SQL = """\
select to_regclass('public.alembic_version_fab') is not null
   and to_regclass('public.ab_user_role') is not null as there \\gset
\\if :there
select row_to_json(q) from (
  select 'alembic_version' as head, version_num as version from alembic_version) q;
select row_to_json(q) from (
  select 'alembic_version_fab' as head, version_num as version from alembic_version_fab) q;
select row_to_json(q) from (select u.username as user, r.name as role from ab_user u
  join ab_user_role ur on ur.user_id = u.id join ab_role r on r.id = ur.role_id
  where u.active and u.username in ({users}) order by ur.id) q;
select row_to_json(q) from (
  select pool, slots from slot_pool where description = '{MARK}' or pool in ({pools})) q;
\\endif
"""


@dataclass(frozen=True)
class User:
    """A user of Airflow; `credential` is the name of the secret with the password."""

    username: str
    role: str
    email: str
    credential: str


@dataclass(frozen=True)
class ContentsState:
    """Schema heads by table, the roles of our users, the slots of our pools."""

    heads: Mapping[str, str]
    users: Mapping[str, str]
    pools: Mapping[str, int]


@dataclass(frozen=True)
class Contents(Resource[ContentsState]):
    """Airflow's database is migrated and has our users and pools, in one start of Airflow's Python.

    `python` is the interpreter of the generation that the schema `heads` belong to; `setup`
    the script that does the work, `title` what it does.
    """

    python: str
    setup: str
    heads: Mapping[str, str]
    users: tuple[User, ...]
    pools: Mapping[str, int]
    title: str

    @property
    def name(self) -> str:
        return "airflow database"

    @property
    def desired(self) -> ContentsState:
        return ContentsState(self.heads, {u.username: u.role for u in self.users}, self.pools)

    def probe(self) -> Query:
        users = _list(user.username for user in self.users)
        asked = STATE_SQL.format(MARK=MARK, pools=_list(self.pools), users=users)
        return Query(asked, database="airflow")

    def parse(self, answer: str) -> ContentsState:
        found = rows(answer)
        ours = {user.username for user in self.users}
        heads = {r["head"]: r["version"] for r in found if r.get("head") in self.heads}
        users = {r["user"]: r["role"] for r in found if r.get("user") in ours}
        pools = {r["pool"]: r["slots"] for r in found if "pool" in r}
        if "default_pool" not in self.pools:
            pools.pop("default_pool", None)  # Airflow's own: it keeps the slots it has
        return ContentsState(heads, users, pools)

    def change(self, current: ContentsState | None) -> Iterator[Step]:
        pools = current.pools if current else {}
        wanted = {
            "users": [vars(user) for user in self.users],
            "reset_passwords": [],
            "pools": [
                {"name": name, "slots": slots, "description": MARK, "include_deferred": False}
                for name, slots in self.pools.items()
            ],
            "unwanted_pools": sorted(pools.keys() - self.pools.keys()),
        }
        secrets = ("fernet_key", "jwt_secret", "session_key", *(u.credential for u in self.users))
        properties = [f"LoadCredential={s}:/etc/mlops/secrets/{s}" for s in secrets]
        run = sh(
            "systemd-run", "--quiet", "--wait", "--collect", "--pipe", "--uid=airflow",
            "--gid=airflow", *(f"--property={p}" for p in properties),
            "--property=WorkingDirectory=/var/lib/mlops/airflow",
            "--setenv=AIRFLOW_HOME=/var/lib/mlops/airflow",
            "--setenv=AIRFLOW_CONFIG=/etc/mlops/airflow.cfg", "--property=UMask=0027",
            "--", self.python, self.setup,
        )  # fmt: skip
        yield Run(
            f"{run} < <({here(json.dumps(wanted).encode())})",
            title=f"{self.title} "
            + ", ".join((*(user.username for user in self.users), *self.pools)),
        )


def _list(texts: Iterable[str]) -> str:
    """For `in (...)`, which may not be empty."""
    return ", ".join(literal(text) for text in (*texts, ""))


@dataclass(frozen=True)
class AnswersState:
    """`components`: the names of those whose heartbeat is fresh; `inputs`: what last answered."""

    api: str
    components: tuple[str, ...]
    inputs: str


@dataclass(frozen=True)
class Answers(Resource[AnswersState]):
    """Airflow answers through TLS, and every component's heartbeat is fresh.

    `components` are the host names that they write into the table of jobs; `units` the services
    whose journal tells why not; `inputs` a digest of what they all are started from, so that a
    plan that restarts one also waits for it. `warm` is what to run first where no API server ran.
    `timeout` in seconds.
    """

    base_url: str
    inputs: str
    components: tuple[str, ...]
    units: tuple[str, ...]
    warm: str
    timeout: int = 180

    @property
    def name(self) -> str:
        return "airflow answers"

    @property
    def desired(self) -> AnswersState:
        return AnswersState("200", tuple(sorted(self.components)), self.inputs)

    def probe(self) -> str:
        # Read by the shell too, so these are bare lines; only names that we know can be among them.
        heartbeats = sql(
            "select distinct name from (select coalesce(nullif(job_type, 'SchedulerJob'),"
            " split_part(hostname, '.', 1)) as name from job where state = 'running'"
            " and latest_heartbeat > now() - interval '45 seconds') q"
            f" where name in ({_list(self.components)}) order by 1",
            database="airflow",
        )
        url = sh(f"{self.base_url}/api/v2/version")
        return (
            "command -v curl >/dev/null && [ -e /etc/nginx/sites-enabled/mlops.conf ] "
            f"|| exit {ABSENT}\n"
            "curl --noproxy '*' -ksS -m 15 -o /dev/null -w '%{http_code}\\n' --connect-to "
            f"::127.0.0.1: {url} || echo 000\n"
            f"cat {ANSWERED} 2>/dev/null || echo none\n"
            f"(\n{CLIENT}{heartbeats}\n); true"
        )

    def parse(self, answer: str) -> AnswersState:
        api, inputs, *components = answer.split()
        fresh = tuple(sorted(c for c in components if c in self.components))
        return AnswersState(api[-3:], fresh, inputs)

    def change(self, current: AnswersState | None) -> Iterator[Step]:
        wanted = "\\n".join(["200", *sorted(self.components)])
        warm = "" if current and current.api == "200" else f"{self.warm}\n"
        yield Run(
            f"{warm}answer() {{ (\n{self.probe()}\n) 2>/dev/null | tr ' ' '\\n' | sort; }}\n"
            f"wanted=$(printf '{wanted}\\n' | sort)\n"
            f"for half in $(seq {2 * self.timeout}); do\n"
            '  left=$(comm -13 <(answer) <(echo "$wanted") | tr "\\n" " ")\n'
            f'  [ -n "$left" ] || {{ echo {self.inputs} > {ANSWERED}; exit 0; }}\n'
            '  [ $((half % 20)) != 0 ] || echo "waiting for: $left"\n'
            "  sleep 0.5\ndone\n"
            f'echo "after {self.timeout} s still not there: $left"\n'
            'echo "fix: the journal of what is missing tells why; its last lines stand above"\n'
            "exit 1",
            title=f"wait until {self.base_url} answers and "
            f"{', '.join(self.components)} have a heartbeat",
        )

    def explain(self) -> str:
        units = (word for unit in self.units for word in ("-u", unit))
        return sh("journalctl", "--no-pager", "-n", "20", "-o", "short", *units)
