"""Twelve secrets, and every way by which one could get out: in none of them stands one in clear.

A way is what somebody may read who is not root, or what root reads without asking for a secret.
"""

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass

import attacks
import pytest
import shared
from server import SECRETS as KEYS
from server import Done, Server, _watching, run
from test_walls_tasks import MASKED, told

pytestmark = [pytest.mark.box, pytest.mark.slow]
GIVEN = ("VARIABLE", "PASSWORD", "EXTRA", "PASSPHRASE")
"""Secrets of the config, each in a file on this side."""
SET = ("connection", "variable", "user")
"""Secrets that an administrator enters in the UI."""
MARKS = "/run/marks"
"""The secrets, one per line, where root alone looks."""
# A task says all that it may know, and prints where it stands; a second one fails in its own way.
SAYS = """
import os, sys, traceback
from airflow.sdk import Connection, Variable
sales, made = Connection.get("sales"), Connection.get("made")
known = [Variable.get("anna"), Variable.get("made_secret"), sales.password,
         sales.extra_dejson["berta"], made.password]
print("knows", *known, file=sys.stderr)
print("knows", *known, {"all": known}, os.environ)
try:
    raise ValueError(*known)
except ValueError:
    traceback.print_exc()
found = len(known)
"""
OWN = "/etc/mlops/secrets /etc/mlops/connections.json /etc/mlops/variables.json"
"""Where secrets are at home on the server."""


@dataclass
class Story:
    """A server that had to do with each secret in all the usual ways."""

    server: Server
    values: dict[str, str]
    said: str
    """What the commands of the installer said meanwhile."""

    def grep(self, places: str, user: str = "root") -> str:
        """What a user finds of the secrets in files. Binary ones count."""
        group = "nogroup" if user == "nobody" else user
        become = f"cd /; setpriv --reuid={user} --regid={group} --init-groups"
        # The words come by stdin, since another user must not read them from a file either.
        return self.server.ssh(f"{become} grep -roFa -f - {places} < {MARKS} 2>/dev/null || true")

    def shown(self, path: str) -> str:
        """What the API tells an administrator."""
        return json.dumps(self.server.api("GET", path))


@pytest.fixture(scope="module")
def story(copies: shared.Copies) -> Story:
    server = copies.take("debian-13")
    shared.ready(server)
    attacks.ready(server)
    values = {name: secrets.token_hex(12) for name in (*GIVEN, *SET)}
    config, more = (
        server.config.read_text(),
        MASKED + '[backup]\npassphrase = { file = "PASSPHRASE" }\n',
    )
    for name in GIVEN:
        (server.folder / name).write_text(values[name])
        more = more.replace(name, str(server.folder / name))
    server.config.write_text(config + more)
    with _watching(server.command_lines):
        done = [server.cli(*words) for words in (
            ("plan",), ("plan", "--json"), ("apply", "--yes", "--no-verify"),
        )]  # fmt: skip
        user = {"username": "made", "first_name": "E", "last_name": "E", "email": "e2e@localhost",
                "password": values["user"], "roles": [{"name": "Viewer"}]}  # fmt: skip
        for path, body in (
            ("connections", {"connection_id": "made", "conn_type": "http",
                             "password": values["connection"]}),
            ("variables", {"key": "made_secret", "value": values["variable"]}),
        ):  # fmt: skip
            server.api("POST", f"/api/v2/{path}", body)
        server.api("POST", "/auth/fab/v1/users", user)
        assert attacks.run(server, SAYS) == 5
        done += [server.cli(*words) for words in (
            ("backup", "--json"), ("backups", "--json"), ("status",), ("status", "--json"),
            ("verify", "--json"), ("apply", "--yes", "--json"), ("plan", "--json"),
        )]  # fmt: skip
        # And errors, on both sides.
        done.append(run(server.words("restore", "none.tar", "--yes"), server.folder))
        wrong = ("mlops env build none 0", "mlops workflows sync", "mlops backup check")
        shown = [server.try_ssh(words) for words in wrong]
        done += [Done(0, one.stdout, one.stderr, 0) for one in shown]
    for name in KEYS:
        values[name] = server.ssh(f"cat /etc/mlops/secrets/{name}")
    marks = "\n".join(values.values())
    server.ssh(f"umask 077; cat > {MARKS} <<'END'\n{marks}\nEND")
    return Story(server, values, "".join(one.output for one in done))


def files(places: str, user: str = "root") -> Callable[[Story], str]:
    """A way: files that somebody reads."""
    return lambda story: story.grep(places, user)


def api(path: str) -> Callable[[Story], str]:
    """A way: an administrator asks the API."""
    return lambda story: story.shown(path)


def root(script: str) -> Callable[[Story], str]:
    """A way: what a command says to root."""
    return lambda story: story.server.ssh(script)


PSQL = "cd /; runuser -u postgres --"
EVERYWHERE = "/boot /etc /home /media /mnt /opt /root /run /srv /tmp /usr/local /var"
# Neither where they are at home, nor what systemd holds for units, nor this test's list.
ELSEWHERE = (
    f"grep -roFa -f {MARKS} {EVERYWHERE} 2>/dev/null | grep -vE"
    f" '^(/etc/mlops/(secrets/|connections.json:|variables.json:)|/run/credentials/|{MARKS}:)'"
    " || true"
)
WAYS = {
    "logs of tasks": files("/var/log/mlops/airflow"),
    "logs of the DAG processor": files("/var/log/mlops/dag_processor"),
    "the installer's log": files("/var/log/mlops/install.log"),
    "all other logs": files("/var/log"),
    "the journal": root("journalctl -q --no-pager -o export"),
    "the log of a task in the API": lambda story: told(story.server, "walls_attack", "attack"),
    "task instances": api("/api/v2/dags/~/dagRuns/~/taskInstances"),
    "runs of DAGs": api("/api/v2/dags/e2e_nap/dagRuns"),
    "connections": api("/api/v2/connections"),
    "variables": api("/api/v2/variables"),
    "events": api("/api/v2/eventLogs?limit=100"),
    "errors of imports": api("/api/v2/importErrors"),
    "jobs": api("/api/v2/jobs"),
    "plugins": api("/api/v2/plugins"),
    "Airflow's database": root(f"{PSQL} pg_dump airflow"),
    "the tasks' database": root(f"{PSQL} pg_dump workflows"),
    "pages of PostgreSQL": files("/var/lib/postgresql", "postgres"),
    "command lines": lambda story: "\n".join(story.server.command_lines),
    "units": root("systemctl show '*'; systemctl cat 'airflow*' 'mlops*'"),
    "environments of processes": root(f"grep -oaF -f {MARKS} /proc/[0-9]*/environ || true"),
    "files for a task": files(EVERYWHERE, "mlops-task"),
    "files for nginx": files(EVERYWHERE, "www-data"),
    "files for PostgreSQL": files(EVERYWHERE, "postgres"),
    "files for anybody": files(EVERYWHERE, "nobody"),
    "what the installer said": lambda story: story.said,
    "files of root where no secret lives": root(ELSEWHERE),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_no_secret_gets_out_by(story: Story, way: str) -> None:
    found = WAYS[way](story)
    leaks = [name for name, value in story.values.items() if value in found]
    assert leaks == [], [line for line in found.splitlines() if any(
        story.values[name] in line for name in leaks
    )][:5]  # fmt: skip


def test_twelve_secrets_were_looked_for(story: Story) -> None:
    """And each is found where it is at home, so the looks would have found it elsewhere."""
    assert len(story.values) == 12
    found = story.grep(OWN)
    for name in (*GIVEN, *KEYS):
        assert story.values[name] in found, name
