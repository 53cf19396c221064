"""A fresh server becomes a verified Airflow by one command, and stays what it became."""

import errno
import http.cookiejar
import os
import pty
import re
import select
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request

import pytest
import shared
from server import (
    SECRETS,
    Server,
    answers,
    environment,
    quickness,
    wait_for,
)

pytestmark = [pytest.mark.box, pytest.mark.slow]

# What is wanted to be absent, and what Debian itself or the box may have set already.
RIGHT_ON_A_BARE_SERVER = {
    "file /etc/apt/apt.conf.d/80mlops",
    "file /etc/mlops/apt.list",
    "file /etc/mlops/apt-updates.conf",
    "certificate authorities",
    "file /etc/mlops/secrets/conda-auth.json",
    "file /etc/mlops/secrets/git-credentials",
    "file /etc/mlops/secrets/backup_passphrase",
    "file /etc/mlops/known_hosts",
    "file /etc/mlops/allowed_signers",
    "file /opt/mlops/dags/mlops_pull.py",
    "names of environments",
    "restore ended",
    "former unit airflow-api-server.service",
    "link /etc/localtime",
    "file /etc/timezone",
    "locale C.UTF-8",
    "directory /var/log/journal",
    # Locks of earlier installers; the digests in their paths are not known here.
    "file /opt/mlops/airflow/…/.lock",
    "file /opt/mlops/tools/…/.lock",
}
EXPOSURE = {
    "airflow-api-server@a": 1.0,
    "airflow-dag-processor": 2.5,
    "airflow-scheduler@1": 1.0,
    "airflow-scheduler@2": 1.0,
    "airflow-tasks@1": 2.5,
    "airflow-tasks@2": 2.5,
    "airflow-triggerer": 2.5,
    "airflow-watchdog": 4,
    "mlops-backup": 4,
    "mlops-door@x": 4,
    "mlops-model@x": 2.5,
    "mlops-upgrade-guard": 4,
    "mlops-upgrade-recover": 4,
    "nginx": 4,
    "postgresql@*-main": 4,
}
LISTING = (
    "find /etc /opt/mlops /srv -path /srv/mlops/data -prune -o"
    " -printf '%p %m %u %g %s %T@ %l\\n' | sort"
)


def test_one_command_provisions_and_verifies(provisioned: Server) -> None:
    assert provisioned.applied
    assert "checks ok" in provisioned.applied.stderr
    print(f"\n{provisioned.box.system}: provisioned in {provisioned.applied.seconds:.0f} s")


def test_the_end_says_where_to_go(provisioned: Server) -> None:
    assert provisioned.applied
    said = provisioned.applied.stderr
    assert provisioned.url in said
    assert "admin" in said
    shown = re.search(r"password\s+`([^`]+)`", said)
    assert shown, said[-500:]
    words = shared.for_copy(shown[1], provisioned)
    told = subprocess.run(["sh", "-c", words], capture_output=True, text=True, check=False)
    assert told.stdout.strip() == provisioned.ssh("cat /etc/mlops/secrets/admin_password")


def test_the_admin_gets_a_token_through_https(provisioned: Server) -> None:
    users = provisioned.api("GET", "/auth/fab/v1/users")
    assert {user["username"] for user in users["users"]} == {"admin", "mlops-verify"}


def test_the_admin_logs_in_by_the_form(provisioned: Server) -> None:
    jar = http.cookiejar.CookieJar()
    opener = provisioned.opener(urllib.request.HTTPCookieProcessor(jar))
    url = f"{provisioned.url}/auth/login/"
    page = opener.open(url, timeout=60).read().decode()
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    assert found, page[:2000]
    password = provisioned.ssh("cat /etc/mlops/secrets/admin_password")
    form = {"csrf_token": found[1], "username": "admin", "password": password}
    post = urllib.request.Request(url, urllib.parse.urlencode(form).encode(), {"Referer": url})
    opener.open(post, timeout=60)
    cookies = {cookie.name: cookie for cookie in jar}
    assert "_token" in cookies, sorted(cookies)
    assert all(cookie.secure for cookie in jar)


MIGRATED = """\
cd /; set -e
pg() { runuser -u postgres -- "$@"; }
pg psql -Xqc 'create database migrated owner airflow'
trap 'pg dropdb migrated' EXIT
url='postgresql+psycopg2://airflow@/migrated?host=/run/postgresql'
systemd-run --quiet --wait --pipe --uid=airflow --setenv=AIRFLOW_HOME=/var/lib/mlops/airflow \\
  --setenv=AIRFLOW_CONFIG=/etc/mlops/airflow.cfg \\
  --property=LoadCredential=fernet_key:/etc/mlops/secrets/fernet_key \\
  --setenv="AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=$url" \\
  /opt/mlops/airflow/current/bin/airflow db migrate >&2
for database in airflow migrated; do
  pg pg_dump --schema-only $database | grep -v '^.\\(un\\)\\?restrict' > /tmp/$database.sql
done
wc -l < /tmp/migrated.sql
diff /tmp/airflow.sql /tmp/migrated.sql >&2
"""


def test_the_schema_of_a_first_run_is_what_a_migration_makes(provisioned: Server) -> None:
    """A first run loads a dump; the same Airflow makes the same tables by itself."""
    assert int(provisioned.ssh(MIGRATED)) > 1000


FORKED = """cd /
systemd-run --quiet --wait --pipe --uid=airflow --setenv=AIRFLOW_HOME=/var/lib/mlops/airflow \\
  --setenv=AIRFLOW_CONFIG=/etc/mlops/airflow.cfg --setenv=PYTHONPATH=/opt/mlops/lib \\
  --property=LoadCredential=fernet_key:/etc/mlops/secrets/fernet_key \\
  --property=LoadCredential=jwt_secret:/etc/mlops/secrets/jwt_secret \\
  --property=LoadCredential=session_key:/etc/mlops/secrets/session_key \\
  /opt/mlops/airflow/current/bin/python - <<'END' 2>/dev/null
import asyncio, time
from airflow.api_fastapi.main import app
from api_server import first_request
[api] = [route.app for route in app.routes if getattr(route, "path", "") == "/execution"]
for _ in range(2):
    begin = time.process_time()
    asyncio.run(first_request(api))
    print(time.process_time() - begin)
END
"""


def test_the_first_request_is_what_costs_and_comes_before_the_fork(provisioned: Server) -> None:
    # Airflow writes warnings before it.
    first, second = map(float, provisioned.ssh(FORKED).splitlines()[-2:])
    print(f"\n{provisioned.box.system}: first request {first:.2f} s of CPU, then {second:.3f} s")
    assert second < first / 10
    begun = provisioned.ssh(f"systemctl show -p ExecStart {provisioned.api_server}")
    assert "/opt/mlops/lib/api_server.py" in begun


def test_a_second_apply_changes_nothing_and_is_quick(provisioned: Server) -> None:
    units, listing = provisioned.units(), provisioned.ssh(LISTING)
    runs = [provisioned.cli("apply", "--yes", "--json") for _ in range(3)]
    assert [run.returncode for run in runs] == [0, 0, 0], runs[0].output
    assert [run.json["changes"] for run in runs] == [[], [], []]
    assert max(run.json["round_trips"] for run in runs) <= 2
    assert provisioned.units() == units, "a service was restarted"
    assert provisioned.ssh(LISTING) == listing, "a file was written"

    again, yardstick = quickness(provisioned)
    print(
        f"\n{provisioned.box.system}: converged apply against its yardstick: {again}, {yardstick}"
    )
    assert again.cpu <= 2 * yardstick.cpu
    assert again.wall <= 2 * yardstick.wall


def test_plan_finds_nothing_to_do(provisioned: Server) -> None:
    done = provisioned.cli("plan")
    assert done.returncode == 0, done.end
    assert "nothing to do" in done.stdout


def test_edits_by_hand_are_shown_and_put_back(provisioned: Server) -> None:
    unit = "/etc/systemd/system/airflow-triggerer.service"
    config, site = "/etc/mlops/airflow.cfg", "/etc/nginx/sites-available/mlops.conf"
    before = provisioned.ssh(f"sha256sum {unit} {config} {site}; stat -c %a {config}")
    provisioned.ssh(
        f"echo '# by hand' >> {unit}; chmod 0666 {config}; sed -i 's/16m/17m/' {site}"
        "; systemctl daemon-reload"
    )
    done = provisioned.cli("plan")
    assert done.returncode == 2, done.end
    assert re.search(r"^ +-# by hand$", done.stdout, re.M)
    assert re.search(r"^ +- +client_max_body_size 17m;\n +\+ +client_max_body_size 16m;$",
                     done.stdout, re.M)  # fmt: skip
    assert "mode: 0666 → 0644" in done.stdout
    provisioned.apply()
    assert provisioned.ssh(f"sha256sum {unit} {config} {site}; stat -c %a {config}") == before
    plan = provisioned.cli("plan")
    assert plan.returncode == 0, plan.end


def test_a_bare_server_can_be_planned_and_is_left_as_it_is(bare: Server) -> None:
    assert bare.try_ssh("command -v python3").returncode != 0
    bare.ssh("touch /root/before; sleep 0.05")
    done = bare.cli("plan")
    assert done.returncode == 2, done.end
    assert "apt-get install" in done.stdout
    plan = bare.cli("plan", "--json").json
    changing = {change["resource"] for change in plan["changes"]}
    assert len(changing | RIGHT_ON_A_BARE_SERVER) == plan["checked"], changing
    changed = bare.ssh("find / -xdev -newer /root/before -not -path '/var/log/*'").split()
    logins = {"/run", "/tmp", "/var/tmp", "/var/lib/systemd"}
    assert [path for path in changed if path not in logins] == []


def test_three_ports_are_open_to_the_network(provisioned: Server) -> None:
    assert open_ports(provisioned.box.address) == [22, 80, 443]


def open_ports(address: str) -> list[int]:
    """Connect to every TCP port, hundreds at a time."""
    found, waiting = [], {}
    poll = select.epoll()
    todo = iter(range(1, 65536))
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for port in todo:
            sock = socket.socket()
            sock.setblocking(False)
            code = sock.connect_ex((address, port))
            if code == errno.EINPROGRESS:
                waiting[sock.fileno()] = (sock, port)
                poll.register(sock, select.EPOLLOUT | select.EPOLLERR | select.EPOLLHUP)
            elif code == 0:
                found.append(port)
            if len(waiting) >= 400:
                break
        if not waiting:
            return sorted(found)
        for number, _ in poll.poll(1):
            sock, port = waiting.pop(number)
            poll.unregister(sock)
            found += [port] if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0 else []
            sock.close()
    raise AssertionError(f"no answer from {[port for _, port in waiting.values()][:20]}")


def test_units_are_hardened(provisioned: Server) -> None:
    version = provisioned.ssh("ls /usr/lib/postgresql")
    for unit, limit in EXPOSURE.items():
        asked = f"systemd-analyze security --no-pager {unit.replace('*', version)}.service"
        said = provisioned.ssh(asked).splitlines()[-1]
        found = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
        assert found, said
        assert float(found[1]) <= limit, said


def test_secrets_are_for_root_only(provisioned: Server) -> None:
    modes = provisioned.ssh("cd /etc/mlops; stat -c '%n %a %U:%G' secrets secrets/*").splitlines()
    assert modes[0] == "secrets 700 root:root"
    names = {line.split()[0].removeprefix("secrets/") for line in modes[1:]}
    assert names >= set(SECRETS)
    loose = [line for line in modes[1:] if not line.endswith(" 600 root:root")]
    assert loose == ["secrets/services 700 root:root"], "a folder, for the tokens of services"
    reading = provisioned.try_ssh("cat /etc/mlops/secrets/jwt_secret", user="debian")
    assert "Permission denied" in reading.stderr


def test_secrets_are_nowhere_else(tasks: Server) -> None:
    assert tasks.applied
    names = " ".join(f"/etc/mlops/secrets/{name}" for name in SECRETS)
    # grep reads the secrets from a file, so that its own command line holds none.
    look = "grep -lsaF -f /root/wanted"
    found = tasks.ssh(
        f"trap 'rm -f /root/wanted' EXIT; umask 077; cat {names} | grep . > /root/wanted\n"
        f"(cat {names}) | tr -d '\\n' | wc -c\n"
        f"{look} /proc/[0-9]*/environ /proc/[0-9]*/cmdline /var/log/mlops/install.log\n"
        f"{look} -r /etc/systemd /etc/mlops/airflow.cfg /var/log/mlops /opt/mlops/lib\n"
        "journalctl -o cat --no-pager | grep -caF -f /root/wanted\ntrue"
    ).split("\n")
    assert int(found[0]) > 150, "five secrets are there"
    assert found[1:] == ["0"], found
    for name in SECRETS:
        secret = tasks.ssh(f"cat /etc/mlops/secrets/{name}").strip()
        assert secret not in tasks.applied.output, f"the installer printed {name}"
        assert not [line for line in tasks.command_lines if secret in line], name


def test_a_task_sees_no_secret_in_its_environment(tasks: Server) -> None:
    made = tasks.api("POST", "/api/v2/dags/e2e_environment/dagRuns", {"logical_date": None})
    path = f"/api/v2/dags/e2e_environment/dagRuns/{made['dag_run_id']}"
    wait_for(lambda: tasks.api("GET", path)["state"] in ("success", "failed"), "the task", 60, 1)
    log = str(tasks.api("GET", f"{path}/taskInstances/environment/logs/1"))
    assert "ENVIRON" in log, log
    assert "AIRFLOW_HOME=" in log
    for name in SECRETS:
        assert tasks.ssh(f"cat /etc/mlops/secrets/{name}").strip() not in log, name


def test_a_user_with_sudo_is_enough(provisioned: Server) -> None:
    done = provisioned.cli("apply", "--yes", target=f"debian@{provisioned.name}")
    assert done.returncode == 0, done.end
    assert "nothing to do" in done.stderr


def test_a_sudo_password_is_asked_for_once(provisioned: Server) -> None:
    provisioned.ssh(
        "id -u careful >/dev/null 2>&1 || useradd -m -s /bin/bash careful\n"
        "echo careful:open-sesame | chpasswd\n"
        "echo 'careful ALL=(ALL) ALL' > /etc/sudoers.d/careful\n"
        "install -d -o careful -m 0700 ~careful/.ssh\n"
        "install -o careful -m 0600 /root/.ssh/authorized_keys ~careful/.ssh/"
    )
    try:
        words = provisioned.words("plan", target=f"careful@{provisioned.name}")
        code, said = on_terminal(words, provisioned, "sudo password for", "open-sesame")
        assert code == 0, said
        assert said.count("sudo password for") == 1
        assert "nothing to do" in said
        assert "open-sesame" not in said

        code, said = on_terminal(words, provisioned, "sudo password for", "wrong")
        assert code == 1, said
        assert "error: " in said
        without = provisioned.cli("plan", target=f"careful@{provisioned.name}")
        assert without.returncode == 1
        assert "no terminal to ask on" in without.stderr
    finally:
        provisioned.ssh("rm -f /etc/sudoers.d/careful; userdel -r careful 2>/dev/null")


def on_terminal(words: list[str], server: Server, prompt: str, answer: str) -> tuple[int, str]:
    """Run the installer on a terminal of its own and answer its question: exit code, output."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(server.folder)
        os.execve(words[0], words, {**environment(server.folder), "TERM": "dumb"})
    said, answered = "", False
    deadline = time.monotonic() + 60
    while select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0]:
        try:
            said += os.read(terminal, 65536).decode(errors="replace")
        except OSError:  # the other side is closed
            break
        if prompt in said and not answered:
            answered = True
            time.sleep(0.2)
            os.write(terminal, f"{answer}\n".encode())
    else:
        os.kill(child, signal.SIGKILL)
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


def test_a_reboot_brings_everything_back(provisioned: Server) -> None:
    boot = "cat /proc/sys/kernel/random/boot_id"
    words = ["ssh", "-F", str(provisioned.ssh_config), "-o", "ConnectTimeout=2", provisioned.name]
    before = provisioned.ssh(boot)
    subprocess.run([*words, "systemctl reboot"], capture_output=True, check=False)

    def booted() -> bool:
        done = subprocess.run([*words, boot], capture_output=True, text=True, check=False)
        return done.returncode == 0 and done.stdout.strip() != before

    wait_for(booted, "the reboot", 150)
    took = wait_for(lambda: answers(provisioned), "Airflow", 90)
    print(f"\n{provisioned.box.system}: Airflow answered {took:.0f} s after ssh")
    wait_for(lambda: provisioned.cli("plan").returncode == 0, "an empty plan", 90, 2)
    done = provisioned.cli("verify")
    assert done.returncode == 0, done.end
