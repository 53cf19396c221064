"""Backups on a server under load; damage and restore; the same history on a fresh server."""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest
import shared
from server import CONFIG, PROGRAM, Done, Server, _watching, run, wait_for

pytestmark = [pytest.mark.box, pytest.mark.slow]
PASSPHRASE = "correct horse battery staple 4711"
HIDDEN = "only-the-fernet-key-shows-this"
FOLDER = "/var/lib/mlops/backups"
COUNTS = """
select 'dag_run', count(*) from dag_run where run_id = '{run}' union all
select 'task', count(*) from task_instance where run_id = '{run}' and state = 'success' union all
select 'xcom', count(*) from xcom where key = 'e2e' and run_id = '{run}' union all
select 'connection', count(*) from connection where conn_id = 'e2e' union all
select 'variable', count(*) from variable where key = 'e2e' union all
select 'pool', slots from slot_pool where pool = 'e2e' union all
select 'user', count(*) from ab_user where username = 'e2e' order by 1"""
WHOLE = "connection|1\ndag_run|1\npool|3\ntask|1\nuser|1\nvariable|1\nxcom|1"
DATA = "/srv/mlops/data/e2e"
# Fails in the middle of the switch, which no rehearsal can foresee.
NO_SWITCH = """\
#!/bin/sh
case "$*" in *"-d postgres"*) ;; *) exec /usr/bin/psql "$@" ;; esac
text=$(cat)
case $text in *'rename to "airflow"'*) echo the disk is on fire >&2; exit 1 ;; esac
printf '%s\n' "$text" | /usr/bin/psql "$@"
"""
# The next try after one that failed.
SOON = """\
mkdir -p /run/systemd/system/mlops-backup.service.d
printf '[Service]\\nRestartSec=5\\n' > /run/systemd/system/mlops-backup.service.d/soon.conf
systemctl daemon-reload"""
DECRYPT = """
from cryptography.fernet import Fernet
import sys
key, *tokens = sys.stdin.read().split()
print(*(Fernet(key).decrypt(token).decode() for token in tokens))"""


@pytest.fixture(scope="module", params=["debian-13"])
def system(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@dataclass
class Story:
    """A server with history, and what of it must be there after a restore."""

    server: Server
    run: str
    admin: str

    def whole(self, server: Server) -> None:
        """The history is on this server, and what is encrypted can be read."""
        assert server.sql(COUNTS.format(run=self.run)) == WHOLE
        assert decrypted(server) == f"{HIDDEN} {HIDDEN}"
        assert server.ssh("cat /etc/mlops/secrets/admin_password") == self.admin
        assert server.token(), "the old password still lets the admin in"


def decrypted(server: Server) -> str:
    tokens = server.sql(
        "select password from connection where conn_id = 'e2e'"
        " union all select val from variable where key = 'e2e'"
    )
    return server.ssh(
        f"(cat /etc/mlops/secrets/fernet_key; echo {shlex.quote(tokens)}) |"
        f" /opt/mlops/airflow/current/bin/python -c {shlex.quote(DECRYPT)}"
    )


def configure(server: Server, backup: str) -> None:
    server.config.write_text(CONFIG.replace("[base]\n", '[base]\npackages = ["age"]\n') + backup)


def archives(server: Server, pattern: str = "") -> list[str]:
    return server.ssh(f"ls {FOLDER} | grep -E -e '{pattern}.*tar(.age|.gpg)?$' || true").split()


def restore(server: Server, archive: str | Path, *more: str | Path) -> Done:
    words = ["restore", archive, server.name, "--yes", "-F", server.ssh_config]
    words += ["-c", server.config, *more]
    return run([*PROGRAM, *(str(word) for word in words)], server.folder)


@pytest.fixture(scope="module")
def story(copies: shared.Copies, system: str) -> Story:
    """History on a server, whose backups are encrypted by a passphrase."""
    server = copies.take(system)
    shared.ready(server)
    nap = server.nap(0)
    assert nap.ended() == "success"
    token = server.token()
    entries = f"/api/v2/dags/e2e_nap/dagRuns/{nap.run}/taskInstances/nap/xcomEntries"
    for path, body in (
        (entries, {"key": "e2e", "value": "kept"}),
        ("/api/v2/connections", {"connection_id": "e2e", "conn_type": "http", "password": HIDDEN}),
        ("/api/v2/variables", {"key": "e2e", "value": HIDDEN}),
        ("/api/v2/pools", {"name": "e2e", "slots": 3}),
        ("/auth/fab/v1/users", {"username": "e2e", "first_name": "E", "last_name": "E",
                                "email": "e2e@localhost", "password": HIDDEN,
                                "roles": [{"name": "Viewer"}]}),
    ):  # fmt: skip
        server.api("POST", path, body, token)
    (server.folder / "passphrase").write_text(PASSPHRASE + "\n")
    configure(
        server, f'[backup]\nkeep = 2\npassphrase = {{ file = "{server.folder}/passphrase" }}\n'
    )
    server.apply()
    return Story(server, nap.run, server.ssh("cat /etc/mlops/secrets/admin_password"))


def test_a_backup_under_load_disturbs_no_task(story: Story) -> None:
    server = story.server
    nap = server.nap(45).started()  # longer than a backup beside other tests
    with _watching(server.command_lines):
        done = server.cli("backup", "--json")
    assert done.returncode == 0, done.end
    assert done.json["name"].endswith("-manual.tar.gpg")
    assert nap.state == "running"
    assert (nap.ended(), nap.tries, len(nap.starts)) == ("success", 1, 1)
    shown = server.cli("backups", "--json").json[0]
    assert (shown["name"], shown["good"], shown["airflow"]) == (done.json["name"], True, "3.3.2")
    assert shown["counts"]["DAG runs"] >= 1
    assert server.cli("backups", "--check").returncode == 0
    assert not [line for line in server.command_lines if PASSPHRASE in line]


def test_the_timer_s_service_works_within_its_walls(story: Story) -> None:
    server = story.server
    before = archives(server)
    server.ssh("systemctl start mlops-backup.service")
    (made,) = set(archives(server)) - set(before)
    assert made.endswith("-timer.tar.gpg")
    exposure = server.ssh("systemd-analyze security mlops-backup.service | tail -1")
    assert float(exposure.split(":")[1].split()[0]) <= 2.0
    assert server.ssh("systemctl is-active mlops-backup.timer") == "active"
    assert server.ssh(f"find {FOLDER} -perm /077") == ""
    assert server.ssh(f"ls -A {FOLDER} | grep -vE 'tar(.gpg)?(.json)?$'") == ".lock"
    assert server.ssh("journalctl -u mlops-backup | grep -c 'correct horse' || true") == "0"


def test_without_room_there_is_no_half_archive(story: Story) -> None:
    server = story.server
    server.ssh(f"mount -t tmpfs -o size=20M,mode=700 none {FOLDER}")
    try:
        done = server.cli("backup")
        assert done.returncode == 1
        assert "MiB are free" in done.output, done.end
        assert server.ssh(f"ls -A {FOLDER}") == ".lock"
        server.ssh(SOON)
        assert server.try_ssh("systemctl start mlops-backup.service").returncode != 0
    finally:
        server.ssh(f"umount {FOLDER}")
    before = archives(server)
    wait_for(lambda: set(archives(server)) - set(before), "the timer's next try", 60)
    server.ssh("rm -r /run/systemd/system/mlops-backup.service.d; systemctl daemon-reload")


def test_a_restore_that_breaks_half_way_is_finished_by_apply(story: Story) -> None:
    server = story.server
    server.ssh(
        "cd /; openssl rand -base64 32 | tr '+/' '-_' > /etc/mlops/secrets/fernet_key\n"
        'runuser -u postgres -- psql -qd airflow -c "delete from connection; delete from xcom;'
        ' delete from ab_user_role; delete from ab_user; delete from dag_run"\n'
        "mount -o bind,ro /etc/mlops/tls /etc/mlops/tls || exit\n"
        "mount -o remount,bind,ro /etc/mlops/tls"
    )
    try:
        refused = restore(server, "latest")
    finally:
        server.ssh("umount /etc/mlops/tls")
    assert refused.returncode == 1, refused.end
    assert "/etc/mlops/tls cannot be written" in refused.output, "seen before anything stopped"
    assert server.try_ssh(f"ls {FOLDER}/.restore/switch.json").returncode != 0
    server.ssh(f"cat > /usr/local/bin/psql <<'EOF'\n{NO_SWITCH}EOF\nchmod 755 /usr/local/bin/psql")
    try:
        broken = restore(server, "latest")
    finally:
        server.ssh("rm /usr/local/bin/psql")
    assert broken.returncode == 1, broken.end
    assert server.ssh(f"ls {FOLDER}/.restore/switch.json")
    refused = server.try_ssh("mlops backup create")
    assert "a restore was broken off half way" in refused.stderr
    planned = server.cli("plan")
    assert "restore ended" in planned.output
    server.apply()
    story.whole(server)
    assert server.ssh(f"ls -A {FOLDER}/.restore 2>/dev/null | grep -v services || true") == ""
    assert archives(server, "-restore"), "the damaged state is kept too"


def test_a_fresh_server_gets_everything_from_an_age_archive(
    story: Story, bare: Server, tmp_path: Path
) -> None:
    server = story.server
    identity = tmp_path / "identity"
    identity.write_text(server.ssh("age-keygen 2>/dev/null") + "\n")
    recipient = identity.read_text().partition("public key: ")[2].split()[0]
    settings = f'[backup]\nkeep = 2\ndata = true\nage_recipient = "{recipient}"\n'
    configure(server, settings)
    server.apply()
    server.ssh(f"mkdir {DATA}; echo 1 > {DATA}/result.csv; chown -R mlops-task: {DATA}")
    done = server.cli("backup", "--to", tmp_path)
    assert done.returncode == 0, done.end
    archive = Path(done.stdout.strip())
    assert archive.stat().st_mode & 0o077 == 0
    assert len(archives(server, "-(manual|timer)")) == 2, "older ones are pruned"
    server.ssh("systemctl stop airflow.target")  # it has done its part, and idles no more
    configure(bare, settings)
    refused = restore(bare, archive)
    assert "--identity" in refused.output
    with _watching(bare.command_lines), shared.computing():
        restored = restore(bare, archive, "--identity", identity)
    assert restored.returncode == 0, restored.end
    story.whole(bare)
    read = f"runuser -u mlops-task -- cat {DATA}/result.csv; stat -c %U {DATA} {DATA}/result.csv"
    assert bare.ssh(read).split() == ["1", "mlops-task", "mlops-task"]
    assert bare.ssh("ls -A /srv/mlops/data | grep mlops-restore || true") == ""
    secret = identity.read_text().splitlines()[-1]
    assert not [line for line in bare.command_lines if secret in line]
    found = bare.ssh(f"grep -rlF {secret} /etc /var/lib /var/log /tmp /srv 2>/dev/null || true")
    assert found == ""
    assert json.loads(bare.cli("plan", "--json").stdout)["changes"] == []
