"""Verification tells what is broken, by the check that is about it and with the reason."""

import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import pytest
from server import Server, wait_for

pytestmark = [
    pytest.mark.box,
    pytest.mark.slow,
    pytest.mark.parametrize("system", ["debian-12"]),
]

PSQL = "cd /; runuser -u postgres -- psql -XqAt -d airflow -c"
EXPIRE = (
    "cd /etc/mlops/tls; address=$(cat /var/lib/mlops/server_name)\n"
    "openssl req -x509 -key key.pem -days 1 -out certificate.pem -subj /CN=$address"
    " -addext subjectAltName=IP:$address 2>/dev/null; systemctl reload nginx"
)
RESTART = (
    "systemctl restart 'airflow-api-server@*'\n"
    "until curl --noproxy '*' -sfo /dev/null http://127.0.0.1:8080/execution/health\n"
    "do sleep 1; done"
)
OTHER_KEY = "/etc/systemd/system/airflow-api-server@.service.d"


@dataclass(frozen=True)
class Fault:
    """`breaks` and `mends` are shell scripts; without `mends` an apply must put it right."""

    name: str
    breaks: str
    role: str
    check: str
    reason: str
    mends: str = ""
    sign: str = ""
    """SQL that is true once Airflow has noticed."""


# Broken at once: none of a list has a part in what another one breaks.
FAULTS = {
    "one stands still, another is open": [
        Fault(
            "a scheduler is stopped",
            "systemctl stop airflow-scheduler@2",
            "airflow", "every scheduler has a fresh heartbeat", "no fresh heartbeat: scheduler-2",
        ),
        Fault(
            "the triggerer is stopped",
            "systemctl stop airflow-triggerer",
            "airflow", "services run[airflow-triggerer]", "airflow-triggerer does not run",
        ),
        Fault(
            "a DAG file is broken",
            "echo 'from airflow.no_such import dag' > /opt/mlops/dags/broken.py",
            "airflow", "dags parse without errors", "airflow.no_such",
            mends="rm /opt/mlops/dags/broken.py",
            sign="select count(*) = 1 from import_error",
        ),
        Fault(
            "Airflow's role is a superuser",
            f"{PSQL} 'alter role airflow superuser'",
            "postgres", "the role has no power", "is a superuser",
        ),
        Fault(
            "nginx lets the execution API through",
            "sed -i 's#location /execution {#location /other {#'"
            " /etc/nginx/sites-available/mlops.conf; systemctl reload nginx",
            "proxy", "the execution api is not reachable[/execution/health]",
            "/execution/health answers 200",
        ),
        Fault(
            "the certificate ends soon",
            EXPIRE,
            "proxy", "the certificate lasts and fits", "the certificate ends within a week",
        ),
        Fault(
            "a secret can be read by everybody",
            "chmod 0644 /etc/mlops/secrets/jwt_secret",
            "base", "secrets are for root only[jwt secret]", "can be read by others",
        ),
        Fault(
            "Airflow opens a port to the network",
            "systemd-run -q --unit=leak --uid=airflow"
            " python3 -m http.server 8795 -d /usr/share/doc",
            "base", "only the proxy listens on the network", "open to the network: 0.0.0.0:8795",
            mends="systemctl stop leak",
        ),
    ],
    "a scheduler hangs": [
        Fault(
            "a scheduler hangs",
            "systemctl kill -s STOP airflow-scheduler@1",
            "airflow", "every scheduler has a fresh heartbeat", "no fresh heartbeat: scheduler-1",
            mends="systemctl kill -s CONT airflow-scheduler@1",
            sign="select bool_or(latest_heartbeat < now() - interval '61 seconds') from job"
            " where job_type = 'SchedulerJob' and state = 'running'",
        ),
    ],
    "the API server takes other tokens": [
        Fault(
            "the API server takes other tokens",
            f"mkdir -p {OTHER_KEY}; printf '[Service]\\nLoadCredential=jwt_secret:%s\\n'"
            f" /etc/mlops/secrets/session_key > {OTHER_KEY}/other.conf\n"
            f"systemctl daemon-reload; {RESTART}",
            "airflow", "a canary run goes through each scheduler", "the canary run ended as failed",
            mends=f"rm -r {OTHER_KEY}; systemctl daemon-reload; {RESTART}",
        ),
    ],
    "neither PostgreSQL nor nginx runs": [
        Fault(
            "PostgreSQL is stopped",
            "systemctl stop 'postgresql@*'",
            "postgres", "it runs", "does not run",
        ),
        Fault(
            "nginx is stopped",
            "systemctl stop nginx",
            "proxy", "nginx runs and its config is right", "nginx does not run",
        ),
    ],
}  # fmt: skip


LEFT = f"""\
install -m 4755 /bin/true /srv/mlops/data/root
touch /opt/mlops/bin/more; chmod 0666 /opt/mlops/bin/more
printf '[Service]\\nExecStart=/bin/true\\n' > /etc/systemd/system/mlops-more.service
{PSQL} 'create role more superuser'
"""
CLEANED = f"""\
rm -f /srv/mlops/data/root /opt/mlops/bin/more /etc/systemd/system/mlops-more.service
{PSQL} 'drop role more'
"""


def test_it_finds_what_an_attack_leaves(tasks: Server) -> None:
    tasks.ssh(LEFT)
    try:
        done = tasks.cli("verify", "--json")
    finally:
        tasks.ssh(CLEANED)
    failed = {c["name"]: c["reason"] for c in done.json["checks"] if c["outcome"] == "FAILED"}
    assert done.returncode == 2, done.end
    assert {name: reason.rpartition(": ")[2] for name, reason in failed.items()} == {
        "no file of ours lends its owner": "/srv/mlops/data/root",
        "no file of ours is for everybody to write": "/opt/mlops/bin/more",
        "no unit is there under our names but ours": "/etc/systemd/system/mlops-more.service",
        "nobody but postgres is a superuser": "more",
    }


@pytest.mark.parametrize("name", FAULTS, ids=lambda name: name.replace(" ", "-"))
def test_it_finds_that(name: str, tasks: Server) -> None:
    faults = FAULTS[name]
    try:
        for fault in faults:
            tasks.ssh(fault.breaks)
        for sign in (fault.sign for fault in faults if fault.sign):
            wait_for(lambda sign=sign: tasks.sql(sign) == "t", "the sign", 90, 1)  # type: ignore[misc]
        done = tasks.cli("verify", "--json")
        assert done.returncode == 2, done.end
        failed = {
            (c["role"], c["name"]): c for c in done.json["checks"] if c["outcome"] == "FAILED"
        }
        print(f"\n{done.seconds:.0f} s; failed: {', '.join(sorted(name for _, name in failed))}")
        for fault in faults:
            assert (fault.role, fault.check) in failed, failed
            assert fault.reason in failed[fault.role, fault.check]["reason"], failed
    finally:
        tasks.ssh("\n".join(fault.mends for fault in faults))
        tasks.apply()
    plan = tasks.cli("plan")
    assert plan.returncode == 0, plan.end


def test_a_healthy_server_passes_and_a_report_is_written(tasks: Server, tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    tasks.sql("select 1")
    wait_for(lambda: tasks.sql("select count(*) = 0 from import_error") == "t", "the parser", 90)
    begin = time.monotonic()
    done = tasks.cli("verify", "--json", "--junit", report)
    assert done.returncode == 0, done.end
    print(f"\nverified in {time.monotonic() - begin:.1f} s")
    checks = done.json["checks"]
    roles = {"plan", "airflow", "backup", "base", "models", "postgres", "proxy", "workflows"}
    assert {check["role"] for check in checks} == roles
    skipped = {check["role"] for check in checks if check["outcome"] != "ok"}
    # None made yet, no models; and a box has no controllers of cgroups.
    assert skipped == {"backup", "base", "models", "workflows"}
    suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None
    assert (suite.get("failures"), suite.get("errors")) == ("0", "0")
    assert len(suite.findall("testcase")) == len(checks) - 1, "all but the plan's"
