"""Tasks outlive what happens to the services around them, and run once."""

import re
import time

import pytest
from server import Nap, Server, answers, wait_for

pytestmark = [
    pytest.mark.box,
    pytest.mark.slow,
    pytest.mark.parametrize("system", ["debian-13"]),
]

BEATING = (
    "select count(*) from job where job_type = 'SchedulerJob' and state = 'running'"
    " and latest_heartbeat > now() - interval '15 seconds'"
)


def assert_ran_once(nap: Nap) -> None:
    assert nap.ended() == "success"
    assert nap.tries == 1
    assert len(nap.starts) == 1, nap.starts


def processes_of(server: Server, unit: str) -> list[str]:
    """Numbers of the processes in the unit's control group."""
    group = f"/sys/fs/cgroup$(systemctl show -P ControlGroup {unit})/cgroup.procs"
    return server.ssh(f"cat {group} 2>/dev/null || true").split()


def running(server: Server, scheduler: str) -> list[str]:
    """The processes of a scheduler's tasks, and of what starts them."""
    return processes_of(server, scheduler.replace("scheduler", "tasks"))


def test_a_task_survives_the_stop_of_its_scheduler(tasks: Server) -> None:
    nap = tasks.nap(45).started()
    unit = nap.scheduler
    try:
        tasks.ssh(f"systemctl stop --no-block {unit}")
        wait_for(lambda: tasks.ssh(f"systemctl is-active {unit} || true") == "deactivating",
                 "the stop", 10)  # fmt: skip
        other = tasks.nap(0)
        assert other.ended() == "success", "the other scheduler goes on"
        assert other.scheduler != unit
        assert nap.state == "running", "its scheduler waits for it"
        tasks.ssh(f"kill -9 $(systemctl show -P MainPID {tasks.api_server})")
        wait_for(lambda: answers(tasks), "the API server, which a drain must not hold up", 90)
        assert_ran_once(nap)
        wait_for(lambda: tasks.ssh(f"systemctl is-active {unit} || true") == "inactive",
                 "the scheduler's end", 30)  # fmt: skip
        assert tasks.ssh(f"systemctl show -P Result {unit}") == "success"
    finally:
        tasks.apply()


def test_a_stop_ends_with_the_last_task(tasks: Server) -> None:
    """Nothing is killed: Airflow's own LocalExecutor sometimes waits for a worker for ever."""
    nap = tasks.nap(10).started()
    unit = nap.scheduler
    begun = tasks.ssh("date +%s")
    try:
        begin = time.monotonic()
        tasks.ssh(f"systemctl stop {unit}")
        assert 8 <= time.monotonic() - begin < 38
        said = tasks.ssh(f"journalctl -q --since @{begun} -u {unit} -g killed || true")
        assert said == ""
        assert tasks.ssh(f"systemctl show -P Result {unit}") == "success"
        assert_ran_once(nap)
        assert running(tasks, unit) == [], "what ran its tasks has ended too"
    finally:
        tasks.apply()


def test_two_schedulers_bind_no_common_port(tasks: Server) -> None:
    ports = []
    for number in (1, 2):
        numbers = "|".join(processes_of(tasks, f"airflow-scheduler@{number}"))
        lines = tasks.ssh(f"ss -Hltnp | grep -E 'pid=({numbers}),' || true").splitlines()
        ports.append({re.split(r"\s+", line)[3] for line in lines})
    assert ports == [{"127.0.0.1:8974"}, {"127.0.0.1:8975"}]


def test_the_task_of_a_crashed_scheduler_runs_again_within_a_minute(tasks: Server) -> None:
    nap = tasks.nap(20).started()
    unit = nap.scheduler
    before = processes_of(tasks, unit) + running(tasks, unit)
    tasks.ssh(f"kill -9 $(systemctl show -P MainPID {unit})")
    took = wait_for(lambda: len(nap.starts) == 2, "the second try", 60)
    print(f"\nrecovered in {took:.0f} s")
    alive = tasks.ssh(f"for p in {' '.join(before)}; do [ ! -d /proc/$p ] || echo $p; done")
    assert alive == "", "a process of the dead scheduler is left"
    assert nap.ended() == "success"
    assert len(nap.starts) == 2
    wait_for(lambda: tasks.ssh(f"systemctl is-active {unit} || true") == "active", "its return")


def test_a_restart_of_the_api_server_kills_no_task(tasks: Server) -> None:
    nap = tasks.nap(30).started()
    tasks.ssh(f"systemctl restart {tasks.api_server}")
    took = wait_for(lambda: answers(tasks), "the API", 90)
    print(f"\nthe API answered {took:.0f} s after its restart")
    assert_ran_once(nap)


def test_an_api_server_that_is_away_kills_no_task(tasks: Server) -> None:
    """A task that ends meanwhile tells so later; Airflow's defaults give up after 4 to 15 s."""
    nap, unit = tasks.nap(10).started(), tasks.api_server
    try:
        tasks.ssh(f"systemctl stop {unit}; sleep 90")
        assert nap.state == "running"
    finally:
        tasks.ssh(f"systemctl start {unit}")
    assert_ran_once(nap)


def test_a_restart_of_postgres_leaves_a_working_system(tasks: Server) -> None:
    tasks.ssh("systemctl restart 'postgresql@*'")
    wait_for(lambda: answers(tasks), "the API", 60)
    nap = tasks.nap(1)
    assert nap.ended() == "success"
    # A heartbeat from before tells nothing of a scheduler that the restart kills.
    since = BEATING.replace("now() - interval '15 seconds'", f"'{tasks.sql('select now()')}'")
    wait_for(lambda: tasks.sql(since) == "2", "both schedulers", 90)
    wait_for(lambda: tasks.cli("plan").returncode == 0, "an empty plan", 90, 2)
    done = tasks.cli("verify")
    assert done.returncode == 0, done.end


def test_a_postgres_that_is_away_kills_no_task(tasks: Server) -> None:
    """Schedulers that lose it wait for their tasks before they crash."""
    nap = tasks.nap(20).started()
    before = tasks.ssh(f"systemctl show -P MainPID {nap.scheduler}")
    tasks.ssh("systemctl stop 'postgresql@*'; sleep 30; systemctl start postgresql")
    assert_ran_once(nap)
    wait_for(lambda: tasks.ssh(f"systemctl show -P MainPID {nap.scheduler}") not in (before, "0"),
             "its scheduler's return, if need be by the watchdog", 400)  # fmt: skip
    wait_for(lambda: tasks.sql(BEATING) == "2", "both schedulers, in the same way", 400)
    assert tasks.nap(1).ended() == "success"
    tasks.apply()


def test_a_scheduler_that_hangs_is_killed_and_started_again(tasks: Server) -> None:
    """systemd cannot see a hang; the watchdog acts on what it finds twice without a heartbeat."""
    look = (
        "runuser -u airflow -- env RUNTIME_DIRECTORY=/run/airflow-watchdog"
        " /opt/mlops/bin/watchdog 20 20 300"
    )
    tasks.ssh("systemctl start airflow-watchdog.service")
    wait_for(lambda: tasks.ssh(look) == "", "a quiet watchdog", 60)
    nap = tasks.nap(50).started()
    unit = nap.scheduler
    pid = tasks.ssh(f"systemctl show -p MainPID --value {unit}")
    tasks.ssh(f"kill -STOP {pid}")
    stale = (
        f"select count(*) from job where hostname = '{nap.host}' and state = 'running'"
        " and latest_heartbeat > now() - interval '20 seconds'"
    )
    wait_for(lambda: tasks.sql(stale) == "0", "the heartbeat to grow stale", 60)
    assert tasks.ssh(look) == "", "killed at first sight"
    # The timer's own run, which is content with less, may forget the first of two looks.
    says = "shows no life for 20 s: {}".format
    wait_for(lambda: says("waiting for its tasks") in tasks.ssh(look), "a 2nd", 30)
    assert_ran_once(nap)
    wait_for(lambda: says("killing it") in tasks.ssh(look), "the kill", 30)
    wait_for(lambda: tasks.sql(stale) == "1", "a new heartbeat", 60)
    assert tasks.ssh(f"systemctl show -p MainPID --value {unit}") not in (pid, "0")
    assert tasks.nap(1).ended() == "success"
