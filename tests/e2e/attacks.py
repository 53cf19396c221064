"""What a task may try against its server; each sets `found` to what it got."""

import json
import secrets
import textwrap
from typing import Any

from server import Server, wait_for

DAGS = '''\
"""A task that runs the code in its run's conf, and kinds of tasks that must work."""

import datetime
import json
import multiprocessing
import os
import subprocess
import time
from pathlib import Path

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.sensors.date_time import DateTimeSensorAsync
from airflow.sdk import dag, get_current_context, task

FOLDER = "/srv/mlops/data/kinds-{{ dag_run.conf['mark'] }}"


@task(retries=0)
def attack() -> None:
    conf = get_current_context()["dag_run"].conf
    names = {"context": get_current_context()}
    exec(conf["code"], names)
    Path(conf["file"]).write_text(json.dumps(names["found"]))


@dag(schedule=None, is_paused_upon_creation=False, max_active_runs=16)
def walls_attack() -> None:
    attack()


def note(context) -> None:
    Path(f"/srv/mlops/data/kinds-{context['dag_run'].conf['mark']}/called").touch()


def square(number: int) -> int:
    return number * number


@task
def many() -> list[int]:
    return [1, 2, 3]


@task(on_success_callback=note)
def squared(number: int) -> list[int]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.map(square, [number])


@task
def large() -> list[int]:
    return list(range(100_000))


@task
def added(numbers: list[int], squares: list[list[int]]) -> None:
    assert len(numbers) == 100_000
    assert sorted(one for (one,) in squares) == [1, 4, 9]
    mark = get_current_context()["dag_run"].conf["mark"]
    Path(f"/srv/mlops/data/kinds-{mark}/added").write_text(str(os.getuid()))


@dag(schedule=None, is_paused_upon_creation=False)
def walls_kinds() -> None:
    folder = BashOperator(task_id="folder", bash_command=f"mkdir {FOLDER}; id -un > {FOLDER}/user")
    later = "{{ (dag_run.run_after + macros.timedelta(seconds=3)).isoformat() }}"
    waits = DateTimeSensorAsync(task_id="waits", target_time=later)
    squares = squared.expand(number=many())
    folder >> waits >> squares
    added(large(), squares)


class Lingers(DateTimeSensorAsync):
    """Its first process has not ended when it is back at work: it left another one behind."""

    def execute(self, context):
        subprocess.Popen(["sleep", "8"])
        super().execute(context)

    def execute_complete(self, context, event=None):
        time.sleep(10)


@dag(schedule=None, is_paused_upon_creation=False)
def walls_lingers() -> None:
    for number in range(4):
        Lingers(task_id=f"lingers_{number}", target_time="2026-01-01T00:00:00+00:00", retries=0)


@dag(schedule=None, is_paused_upon_creation=False)
def walls_shown() -> None:
    words = "echo shown {{ var.value.get('anna', 'none') }}"
    BashOperator(task_id="shown", bash_command=words, retries=0)


walls_attack()
walls_kinds()
walls_lingers()
walls_shown()
'''
DAG_IDS = ("walls_attack", "walls_kinds", "walls_lingers", "walls_shown")

# Each is worth trying: it went through, or could have, when tasks ran as Airflow's own user.
FILES = """
    import os
    places = ("/etc/mlops/secrets", "/etc/mlops/connections.json", "/etc/mlops/variables.json",
              "/run/credentials", "/var/lib/mlops/airflow", "/var/lib/mlops/backups",
              "/var/lib/postgresql", "/var/log/mlops/dag_processor", "/etc/shadow", "/root")
    found = []
    for place in places:
        paths = [place] + [f"{at}/{name}" for at, _, names in os.walk(place) for name in names]
        for path in paths:
            try:
                found.append([path, len(open(path, "rb").read())])
            except OSError:
                pass
"""
PROCESSES = """
    import os
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        for name in ("environ", "mem", "maps", "auxv"):
            try:
                with open(f"/proc/{pid}/{name}", "rb") as file:
                    file.read(1)
                    found.append([pid, name, open(f"/proc/{pid}/cmdline").read()])
            except OSError:
                pass
        try:
            found += [[pid, "fd", one] for one in os.listdir(f"/proc/{pid}/fd")]
        except OSError:
            pass
"""
SIGNALS = """
    import os, pwd
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            owner = os.stat(f"/proc/{pid}/task").st_uid
            os.kill(int(pid), 0)
            status = open(f"/proc/{pid}/status").read().split("Uid:")[1].split()[0]
            if int(status) != os.getuid():
                found.append([pid, owner])
        except OSError:
            pass
"""
TRACING = """
    import ctypes, os
    libc, found = ctypes.CDLL(None, use_errno=True), []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) != os.getpid() and libc.ptrace(16, int(pid), 0, 0) == 0:
            found.append([pid, open(f"/proc/{pid}/cmdline").read()])
            libc.ptrace(17, int(pid), 0, 0)
"""
DATABASES = """
    import psycopg2
    found = []
    for user in ("postgres", "airflow", "mlops-task"):
        for database in ("postgres", "airflow", "workflows"):
            try:
                psycopg2.connect(host="/run/postgresql", user=user, dbname=database).close()
                found.append([user, database])
            except psycopg2.OperationalError:
                pass
"""
KEYS = """
    from airflow.configuration import conf
    found = []
    for section, key in (("core", "fernet_key"), ("api_auth", "jwt_secret"), ("api", "secret_key")):
        try:
            value = conf.get(section, key)
        except Exception:
            continue
        if value:
            found.append([section, key, value])
"""
MEMORY = """
    import base64, gc, json, re
    seen, found, texts = set(), [], []
    level = gc.get_objects()
    for _ in range(6):
        fresh = [one for one in level if id(one) not in seen]
        seen.update(map(id, fresh))
        level = [one for one in gc.get_referents(*fresh) if id(one) not in seen] if fresh else []
        texts += [one for one in fresh if type(one) in (str, bytes)]
    tokens = set()
    for text in texts:
        text = text if isinstance(text, str) else text.decode("latin-1")
        tokens |= set(re.findall(r"eyJ[\\w-]+\\.(eyJ[\\w-]+)\\.[\\w-]{20,}", text))
    subjects = {json.loads(base64.urlsafe_b64decode(one + "=="))["sub"] for one in tokens}
    mine = str(context["ti"].id)
    assert mine in subjects, "this would not find another one either"
    found = sorted(subjects - {mine})
"""
SOCKETS = """
    import os, socket
    found = []
    api = [f"/run/airflow-api-server-{slot}/http" for slot in "ab"]
    tasks = [f"/run/mlops/tasks/{number}.sock" for number in (1, 2)]
    for path in ("/run/systemd/private", *tasks, *api):
        try:
            socket.socket(socket.AF_UNIX).connect(path)
            found.append(["connected", path])
        except OSError:
            pass
    for path in ("/run/mlops/door.sock", *tasks, *api):
        try:
            os.unlink(path)
            found.append(["removed", path])
        except OSError:
            pass
    for where in [os.path.dirname(path) for path in api] + ["/run/mlops", "/run/postgresql"]:
        try:
            os.makedirs(where, exist_ok=True)
            socket.socket(socket.AF_UNIX).bind(where + "/mine")
            found.append(["listens", where])
        except OSError:
            pass
    for port in (80, 443, 8080):
        try:
            taken = socket.socket()
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            taken.bind(("127.0.0.1", port))
            taken.listen()
            found.append(["listens", port])
        except OSError:
            pass
    for descriptor in range(3, 64):
        try:
            found.append(["accepted", socket.socket(fileno=os.dup(descriptor)).accept()])
        except OSError:
            pass
"""
PLACES = """
    import os
    found = []
    skipped = ("/proc", "/sys", "/dev", "/srv/mlops/data", "/tmp", "/var/tmp", "/run/lock",
               "/var/lib/mlops/tasks", "/var/log/mlops/airflow")
    for folder, folders, names in os.walk("/"):
        folders[:] = [one for one in folders if os.path.join(folder, one) not in skipped]
        if os.access(folder, os.W_OK):
            found.append(folder)
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and not os.path.islink(path) and os.access(path, os.W_OK):
                found.append(path)
"""
IDENTITIES = """
    import os, pwd, subprocess
    found = []
    for name in ("root", "airflow", "postgres"):
        for change in (os.setuid, os.seteuid, os.setgid):
            try:
                change(pwd.getpwnam(name).pw_uid)
                found.append([name, change.__name__])
            except OSError:
                pass
    for command in (["sudo", "-n", "id"], ["su", "-c", "id"], ["unshare", "-r", "id"],
                    ["systemd-run", "id"], ["runuser", "-u", "airflow", "id"],
                    ["pkexec", "id"], ["systemctl", "stop", "airflow-scheduler@1"]):
        try:
            done = subprocess.run(command, stdin=-3, capture_output=True, timeout=20)
            found += [] if done.returncode else [command]
        except (OSError, subprocess.TimeoutExpired):
            pass
"""
ALL = {
    "files": FILES,
    "processes": PROCESSES,
    "signals": SIGNALS,
    "tracing": TRACING,
    "keys": KEYS,
    "memory": MEMORY,
    "sockets": SOCKETS,
    "places": PLACES,
    "identities": IDENTITIES,
}


def ready(server: Server) -> None:
    """Put the tasks onto a server, and wait until Airflow knows them."""
    server.try_ssh(f"cat > /opt/mlops/dags/e2e_attacks.py <<'END'\n{DAGS}END")
    known = (
        "select count(distinct dag_id) from dag join serialized_dag using (dag_id)"
        f" where dag_id in {DAG_IDS} and not is_stale"
    )
    wait_for(lambda: server.sql(known) == str(len(DAG_IDS)), "the DAGs of attacks", 90)


def run(server: Server, code: str) -> Any:
    """What a task found that ran the code."""
    file = f"/srv/mlops/data/attack-{secrets.token_hex(4)}"
    conf = {"file": file, "code": textwrap.dedent(code)}
    body = {"logical_date": None, "conf": conf}
    made = server.api("POST", "/api/v2/dags/walls_attack/dagRuns", body)["dag_run_id"]
    state = f"select state from dag_run where dag_id = 'walls_attack' and run_id = '{made}'"
    wait_for(lambda: server.sql(state) in ("success", "failed"), "the attack", 120)
    assert server.sql(state) == "success", server.ssh(
        f"cat '/var/log/mlops/airflow/dag_id=walls_attack/run_id={made}'/*/*.log | tail -c 3000"
    )
    return json.loads(server.ssh(f"cat {file}"))
