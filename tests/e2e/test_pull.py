"""The git-pull DAG on a server: good commits come into force, bad ones stay out with a reason."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import channel
import gitserver
import pytest
import shared
from mlops_install import box
from project import results
from server import Server, answers, wait_for

pytestmark = [pytest.mark.box, pytest.mark.slow]
CONFIG = """\
{workflows}
[models]
channel_mirrors = {{ conda-forge = "{channel}" }}

[pools]
gpu = 1
"""
IMPORTS = (
    "from airflow.sdk import DAG, task\n"
    "from airflow.providers.standard.operators.bash import BashOperator as Bash\n"
)


def dag(name: str, arguments: str = "") -> str:
    return f"{IMPORTS}with DAG('{name}'): Bash(task_id='a', bash_command='true'{arguments})\n"


BAD = {  # name -> (text of dags/bad.py, what the reason says)
    "syntax": ("from airflow.sdk import dag\ndef (:\n", "dags/bad.py: SyntaxError"),
    "loop": ("import airflow, bad\nbad.dag\n", "dags/bad.py: AttributeError"),
    "sleep": ("from airflow.sdk import dag\nimport time\ntime.sleep(999)\n", "longer than 20 s"),
    "exit": (f"{IMPORTS}raise SystemExit(0)\n", "dags/bad.py: SystemExit"),
    "_exit": (f"{IMPORTS}import os\nos._exit(0)\n", "dags/bad.py: ended the interpreter"),
    "kill": (f"{IMPORTS}import os\nos.kill(-1, 9)\n", "dags/bad.py"),
    "memory": (f"{IMPORTS}x = []\nwhile True: x.append(b'x' * 10**7)\n", "MemoryError"),
    "duplicate": (dag("conflict"), "2 DAGs with the id conflict"),
    "the server's": (dag("mlops_pull"), "2 DAGs with the id mlops_pull"),
    "secrets": (f"{IMPORTS}open('/etc/mlops/connections.json').read()\n", "PermissionError"),
    "pool": (dag("odd", ", pool='none'"), "there is no pool none"),
    "environment": (
        f"{IMPORTS}with DAG('odd'):\n @task.conda(env='chrun')\n def f(): pass\n f()\n",
        "there is no models/chrun",
    ),
}

MODEL = "mkdir -p models/new; printf 'channels: [conda-forge]\\ndependencies: [python]\\n' > "
HOSTILE = {  # name -> (shell in the clone, what the reason says)
    **{name: (f"printf %s {shlex.quote(text)} > dags/bad.py", reason)
       for name, (text, reason) in BAD.items()},
    "a cycle": (
        "cat > dags/bad.py <<'END'\nfrom airflow.providers.standard.operators.empty import"
        " EmptyOperator as E\nfrom airflow.sdk import DAG\nwith DAG('odd'):\n"
        " a, b = E(task_id='a'), E(task_id='b')\n a >> b >> a\nEND", "dags/bad.py",
    ),
    "a huge file": ("truncate -s 60M dags/data.bin", "dags/data.bin"),
    "a dangling link": ("ln -s nowhere dags/link.py", "dags/link.py"),
    "a link outside": ("ln -s /etc/passwd dags/link.py", "dags/link.py"),
    "an odd name": ("touch dags/$'a\\nb.py'", "dags"),
    "no lock": (f"{MODEL}models/new/environment.yml", "models/new"),
    "a stale lock": ("echo '  - joblib' >> models/vision/environment.yml", "models/vision"),
    "Anaconda's channel": (
        "sed -i 's/conda-forge/defaults/' models/vision/environment.yml", "defaults",
    ),
    "tests that fail": ("mkdir tests; echo 'def test_it(): assert 0' > tests/test_it.py", "test"),
}  # fmt: skip

LIVE = """\
from datetime import datetime, timedelta
from pathlib import Path
from time import sleep

from airflow.sdk import DAG, task


@task(retries=0)
def wait():
    while not Path("/srv/mlops/data/enough").exists():
        sleep(0.5)
    return {version}


@task(retries=0)
def after(before):
    return [before, {version}]


@task(retries=0)
def now():
    return {version}


with DAG("steady"):
    after(wait())
with DAG("beat", schedule=timedelta(seconds=15), start_date=datetime(2026, 1, 1), catchup=False,
         max_active_runs=1):
    now()
"""


PLAIN = """\
import multiprocessing
from pathlib import Path

from airflow.sdk import DAG, task


def double(number):
    return 2 * number


def called(context):
    Path("/srv/mlops/data/called").write_text(context["run_id"])


@task(retries=0)
def spawns():
    found = []
    for how in ("spawn", "forkserver"):
        with multiprocessing.get_context(how).Pool(1) as pool:
            found += pool.map_async(double, [1, 2]).get(timeout=60)
    return found


@task(retries=0)
def fails(found):
    raise ValueError(found)


with DAG("plain", on_failure_callback=called):
    fails(spawns())
"""


@contextmanager
def pushed(server: Server, files: dict[str, str], change: str = "") -> Iterator[None]:
    """A commit that is taken back afterwards, by force."""
    gitserver.push(server, files, change)
    yield
    server.ssh(
        f"cd /root/clone && git reset -q --hard HEAD~1 && git push -qf {gitserver.PATH} HEAD:main"
        f" && chown -R git {gitserver.PATH}"
    )


@pytest.fixture(scope="module")
def puller(
    boxes_here: None, folder: Path, conda_forge: channel.Server, locked_project: Path
) -> Iterator[Server]:
    """A server with a Git server on it that serves the tests' project over SSH."""
    server = shared.copy(shared.plain("debian-13"), folder)
    gitserver.start(server)
    files = {str(p.relative_to(locked_project)): p.read_text()
             for p in locked_project.rglob("*") if p.is_file()}  # fmt: skip
    files["dags/models.py"] = files["dags/models.py"].replace("chrun", "churn")
    gitserver.push(server, files)
    hosts = gitserver.host_keys(server)
    url = conda_forge.at("host.internal")
    server.want(CONFIG.format(workflows=gitserver.CONFIG.format(hosts=hosts), channel=url))
    gitserver.let_in(server)
    with shared.computing():
        server.applied = server.cli("apply", "--yes")
    assert server.applied.returncode == 0, server.applied.end
    wait_for(lambda: answers(server), "Airflow", 90)
    known = f"{shared.RUNNABLE} dag_id = 'mlops_pull'"
    wait_for(lambda: server.sql(known) == "1", "the DAG", 90)
    yield server
    box.down(server.name)


def pull(server: Server, timeout: float = 180) -> tuple[str, dict[str, str]]:
    """Run the DAG: how it ended, and the state of each task."""
    body = {"logical_date": None, "conf": {}}
    name = server.api("POST", "/api/v2/dags/mlops_pull/dagRuns", body)["dag_run_id"]
    path = f"/api/v2/dags/mlops_pull/dagRuns/{name}"
    wait_for(lambda: server.api("GET", path)["state"] in ("success", "failed"), name, timeout)
    tasks = server.api("GET", f"{path}/taskInstances")["task_instances"]
    return server.api("GET", path)["state"], {t["task_id"]: t["state"] for t in tasks}


def current(server: Server) -> str:
    return server.ssh("readlink /srv/mlops/workflows/current")


def test_a_new_commit_comes_into_force(puller: Server) -> None:
    before = current(puller)
    gitserver.push(puller, {"dags/fresh.py": dag("fresh")})
    state, tasks = pull(puller)
    assert state == "success"
    assert set(tasks.values()) == {"success"}
    assert current(puller) != before
    known = "select 1 from dag where dag_id = 'fresh' and not is_stale"
    assert wait_for(lambda: puller.sql(known), "the new DAG", 60) < 45


def test_nothing_new_is_cheap(puller: Server) -> None:
    pull(puller)
    state, tasks = pull(puller)
    assert state == "success"
    assert tasks.pop("fetch") == "success"
    assert set(tasks.values()) == {"skipped"}
    assert puller.cpu("mlops workflows fetch") < 0.5


def test_a_bad_commit_turns_the_run_red(puller: Server) -> None:
    pull(puller)
    before, units = current(puller), puller.units()
    text, reason = BAD["syntax"]
    with pushed(puller, {"dags/bad.py": text}):
        state, tasks = pull(puller)
        assert (state, tasks["check"]) == ("failed", "failed")
        assert tasks["activate"] == "upstream_failed"
        assert reason in puller.ssh("mlops workflows status")
        assert reason in puller.cli("status").stdout
        assert f"rejected {puller.ssh('git -C /root/clone rev-parse HEAD')[:12]}" in (
            "\n".join(line for line in puller.cli("status").stdout.splitlines() if "FAILED" in line)
        )
        state, tasks = pull(puller)
        assert (state, tasks["fetch"], tasks["check"]) == ("failed", "failed", "upstream_failed"), (
            "it is not tried again, and stays visible"
        )
        assert current(puller) == before
        assert puller.units() == units


@pytest.fixture(scope="module")
def steady(puller: Server) -> str:
    """A run whose first task goes on until it is told, beside a DAG that runs every 15 seconds."""
    gitserver.push(puller, {"dags/live.py": LIVE.format(version=1), "dags/plain.py": PLAIN})
    assert puller.try_ssh("mlops workflows sync").returncode == 0
    known = f"{shared.RUNNABLE} dag_id in ('steady', 'beat', 'plain') and not is_stale"
    wait_for(lambda: puller.sql(known) == "3", "the live DAGs", 60)
    body = {"logical_date": None}
    name = puller.api("POST", "/api/v2/dags/steady/dagRuns", body)["dag_run_id"]
    at_work = "select 1 from task_instance where dag_id = 'steady' and state = 'running'"
    wait_for(lambda: puller.sql(at_work), "the long task", 60)
    return str(name)


@pytest.mark.parametrize(("change", "reason"), HOSTILE.values(), ids=list(HOSTILE))
def test_a_bad_commit_stays_out(puller: Server, steady: str, change: str, reason: str) -> None:
    before, units = current(puller), puller.units()
    with pushed(puller, {}, change):
        done = puller.try_ssh("mlops workflows sync")
        assert done.returncode == 3, done.stdout + done.stderr
        assert reason in done.stdout + done.stderr
        assert reason in puller.ssh("mlops workflows status")
        again = puller.try_ssh("mlops workflows sync")
        assert again.returncode == 3, "as long as it is the newest"
        assert "looked at already" in again.stdout, "it is not tried again"
        assert (current(puller), puller.units()) == (before, units)


def test_live_workflows_kept_running_all_the_while(puller: Server, steady: str) -> None:
    """Through the hostile commits before this test, and through a good one at the end."""
    state = f"select state from dag_run where dag_id = 'steady' and run_id = '{steady}'"
    assert puller.sql(state) == "running"
    gitserver.push(puller, {"dags/live.py": LIVE.format(version=2)})
    assert puller.try_ssh("mlops workflows sync").returncode == 0
    puller.ssh("touch /srv/mlops/data/enough")
    wait_for(lambda: puller.sql(state) != "running", "the end of the long run", 60)
    assert puller.sql(state) == "success"
    assert results(puller, "steady", steady, "after") == [1, 1], "it ended in its own release"
    release = (
        "select bundle_version from dag_run where dag_id = 'beat' order by run_after desc limit 1"
    )
    wait_for(lambda: puller.sql(release) == Path(current(puller)).name, "the new release", 60)
    others = "select count(*) from dag_run where dag_id = 'beat' and state in"
    assert puller.sql(f"{others} ('failed')") == "0"
    longest, runs = puller.sql(
        "select extract(epoch from max(start_date - before)), count(*) from (select start_date,"
        " lag(start_date) over (order by start_date) as before from dag_run"
        " where dag_id = 'beat' and start_date is not null) runs"
    ).split("|")
    print(f"{runs} runs, {longest} s between two of them at most")
    assert float(longest) < 60


def test_a_plain_task_spawns_processes_and_a_callback_leaves_the_parsing_alone(
    puller: Server, steady: str
) -> None:
    body = {"logical_date": None}
    name = puller.api("POST", "/api/v2/dags/plain/dagRuns", body)["dag_run_id"]
    called = "cat /srv/mlops/data/called || true"
    wait_for(lambda: puller.ssh(called) == name, "the callback of the failed run", 120)
    logs = puller.ssh("cat /var/log/mlops/airflow/dag_id=plain/run_id=*/task_id=spawns/*")
    states = f"select task_id, state from task_instance where run_id = '{name}'"
    assert "spawns|success" in puller.sql(states), logs
    assert results(puller, "plain", name, "spawns") == [2, 4, 2, 4]
    look = "cd /; runuser -u postgres -- psql -XqAt -d airflow -c " + shlex.quote(
        "select last_parsed_time from dag where dag_id = 'plain'"
    )
    seen = puller.ssh(f"for second in $(seq 20); do {look}; sleep 1; done").split("\n")
    assert len(set(seen)) <= 2, "parsed every 30 s, as any file"


VANISH = """\
from time import sleep

from airflow.sdk import DAG, task


@task(retries=0)
def first():
    sleep(15)


@task(retries=0)
def then(before):
    return 1


with DAG("vanish"):
    then(first())
"""


def test_a_run_whose_dag_was_removed_ends_with_a_reason(puller: Server) -> None:
    known = f"{shared.RUNNABLE} dag_id = 'vanish' and not is_stale"
    missed = "select count(*) from dag where dag_id = 'vanish' and is_stale"
    tasks = "select string_agg(task_id || ' ' || coalesce(state, '-'), ', ' order by task_id)"
    tasks += " from task_instance where dag_id = 'vanish'"
    with pushed(puller, {"dags/vanish.py": VANISH}):
        assert puller.try_ssh("mlops workflows sync").returncode == 0
        wait_for(lambda: puller.sql(known) == "1", "the DAG", 60)
        puller.api("POST", "/api/v2/dags/vanish/dagRuns", {"logical_date": None})
        wait_for(lambda: "first running" in puller.sql(tasks), "its first task", 60)
    assert puller.try_ssh("mlops workflows sync").returncode == 0
    wait_for(lambda: puller.sql(missed) == "1", "Airflow to miss the DAG", 90)
    end = (  # what the watchdog does, without its three minutes of patience
        "cd /; runuser -u airflow -- psql -XqAt -d airflow -v ON_ERROR_STOP=1 -v patience=1"
        " -f /opt/mlops/bin/lost-runs.sql"
    )
    # On a slow machine its own look may have come before.
    ended = "select count(*) from dag_run where dag_id = 'vanish' and state = 'failed'"
    states: list[str] = []

    def over() -> bool:
        states.append(puller.sql(tasks))
        return "vanish" in puller.ssh(end) or puller.sql(ended) == "1"

    try:
        wait_for(over, "its end", 60, 2)
    except AssertionError:
        raise AssertionError(list(dict.fromkeys(states))) from None
    assert puller.sql(tasks) == "first success, then removed", "the one at work came to its end"
    assert puller.sql("select state from dag_run where dag_id = 'vanish'") == "failed"
    assert "its DAG was removed" in puller.sql("select content from dag_run_note")


def test_a_rollback_is_quick_and_holds(puller: Server) -> None:
    first = current(puller)
    gitserver.push(puller, {"dags/later.py": dag("later")})
    assert puller.try_ssh("mlops workflows sync").returncode == 0
    assert current(puller) != first
    assert puller.cpu("mlops workflows rollback") < 1
    assert current(puller) == first
    gitserver.push(puller, {"dags/later.py": dag("later_still")})
    assert puller.try_ssh("mlops workflows sync").returncode == 0
    assert current(puller) == first, "held"
    puller.ssh("mlops workflows release; mlops workflows sync")
    assert current(puller) != first


def test_what_was_changed_by_hand_is_found_and_made_anew(puller: Server) -> None:
    """In a release and in an environment that came from Git; nothing is fetched."""
    before, release = puller.units(), current(puller)
    prefix = puller.ssh("readlink -f /opt/mlops/envs/vision/current")
    puller.ssh(f"echo '#' >> /srv/mlops/workflows/current/dags/models.py; touch {prefix}/extra")
    shown = puller.cli("plan")
    assert shown.returncode == 2, shown.end
    assert "workflows from Git" in shown.stdout
    assert "release" in shown.stdout
    assert "environment vision" in shown.stdout
    found = puller.cli("verify", "--json")
    failed = {c["role"] for c in found.json["checks"] if c["outcome"] == "FAILED"}
    assert {"plan", "models"} <= failed
    puller.ssh(f"mv {gitserver.PATH} {gitserver.PATH}.away")
    try:
        puller.apply()
    finally:
        puller.ssh(f"mv {gitserver.PATH}.away {gitserver.PATH}")
    assert puller.cli("plan").returncode == 0
    assert puller.cli("verify").returncode == 0
    assert current(puller) == release
    assert puller.ssh("tail -n 1 /srv/mlops/workflows/current/dags/models.py") != "#"
    assert puller.ssh("readlink -f /opt/mlops/envs/vision/current") != prefix, "never in place"
    assert puller.units() == before


def test_a_git_server_that_is_away_is_no_judgement(puller: Server) -> None:
    before = puller.ssh("cat /var/lib/mlops/workflows/state.json")
    puller.ssh(f"mv {gitserver.PATH} {gitserver.PATH}.away")
    try:
        done = puller.try_ssh("mlops workflows fetch")
        assert done.returncode in (1, 75), done.stdout + done.stderr
        assert puller.ssh("cat /var/lib/mlops/workflows/state.json") == before
    finally:
        puller.ssh(f"mv {gitserver.PATH}.away {gitserver.PATH}")


def test_tasks_get_nothing_else_through_the_door(puller: Server) -> None:
    code = "from mlops_airflow.door import ask; import sys; sys.exit(ask(sys.argv[1:], print).code)"
    start = "cd /; export PYTHONPATH=/opt/mlops/lib/python/current; runuser -u"
    command = f"python3 -c {shlex.quote(code)}"
    assert puller.try_ssh(f"{start} mlops-task -- {command} workflows status").returncode == 0
    assert puller.try_ssh(f"{start} mlops-task -- {command} workflows rollback").returncode == 1
    for other in ("nobody", "airflow"):
        denied = puller.try_ssh(f"{start} {other} -- {command} workflows status")
        assert "Permission denied" in denied.stderr
