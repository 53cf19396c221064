"""Runs on the server: follow canary DAG runs through the REST API, as a client would.

Reads {"url", "schedulers", "timeout", "psql"} from its argument, prints what it saw as JSON:
token, version, health, import_errors, jobs, and per run state, try, scheduler and log.
`timeout` in seconds, for one run and for all that it takes to find the schedulers; on a machine
that is slow by itself there are more runs, since it is chance which scheduler takes one.
"""

import http.client
import json
import secrets
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request

# DAGs that the DAG processor has not looked at since it started.
UNREAD = """
select count(*) from dag where not is_stale and last_parsed_time < to_timestamp({since})
  and not exists (select from import_error as e where e.filename = dag.relative_fileloc
    and e.bundle_name = dag.bundle_name and e.timestamp > to_timestamp({since}))
"""
SETTLES = 60
"""Seconds in which the health that the API tells becomes right after a restart."""
RUNS = 5
"""So many per scheduler are tried at least."""
WANTED = json.loads(sys.argv[1])
CONTEXT = ssl.create_default_context(cafile="/etc/mlops/tls/certificate.pem")
CONTEXT.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it need not hold its authority


class Here(http.client.HTTPSConnection):
    """To the name in the URL, but at this machine: the name may not resolve here."""

    def connect(self):
        plain = socket.create_connection(("127.0.0.1", self.port), self.timeout)
        self.sock = CONTEXT.wrap_socket(plain, server_hostname=self.host)


class HereHandler(urllib.request.HTTPSHandler):
    def https_open(self, request):
        return self.do_open(Here, request)


OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), HereHandler())


def call(method, path, body=None, token=None):
    request = urllib.request.Request(WANTED["url"] + path, method=method)
    request.add_header("Content-Type", "application/json")
    request.add_header("Accept", "application/json")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    data = None if body is None else json.dumps(body).encode()
    with OPENER.open(request, data, timeout=60) as answer:
        return json.load(answer)


def login():
    with open("/etc/mlops/secrets/verify_password") as file:
        password = file.read().strip()
    body = {"username": "mlops-verify", "password": password}
    return call("POST", "/auth/token", body)["access_token"]


def run_once(token):
    """One canary run: state, try number, the scheduler that ran it, whether its log is there."""
    word, deadline = secrets.token_hex(8), time.monotonic() + WANTED["timeout"]
    body = {"logical_date": None, "conf": {"token": word}}
    run = call("POST", "/api/v2/dags/mlops_canary/dagRuns", body, token)
    path = f"/api/v2/dags/mlops_canary/dagRuns/{run['dag_run_id']}"
    while run["state"] in ("queued", "running") and time.monotonic() < deadline:
        time.sleep(0.5)
        run = call("GET", path, token=token)
    task = call("GET", f"{path}/taskInstances/chirp", token=token)
    number, log = task["try_number"], ""
    if number:
        log = json.dumps(call("GET", f"{path}/taskInstances/chirp/logs/{number}", token=token))
    return {
        "state": run["state"],
        "task_state": task["state"],
        "try": number,
        "scheduler": (task["hostname"] or "").removesuffix(".localhost"),
        "log": word in log,
    }


def said(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def wait_read(deadline):
    """Until every DAG was read since the DAG processor started: only then all errors are known."""
    unit = ("airflow-dag-processor", "--timestamp=unix", "-P", "ActiveEnterTimestamp")
    query = UNREAD.format(since=said("systemctl", "show", *unit).lstrip("@") or 0)
    psql = ("sh", "-c", f'{WANTED["psql"]} -c "$0"', query)
    while said(*psql) not in ("", "0") and time.monotonic() < deadline:
        time.sleep(0.5)


def settled():
    """What the API server says of health; for a while after a restart it may still be wrong."""
    deadline = time.monotonic() + SETTLES
    while True:
        health = call("GET", "/api/v2/monitor/health")
        parts = [part["status"] for part in health.values() if part]
        if set(parts) <= {"healthy", None} or time.monotonic() > deadline:
            return health
        time.sleep(1)


def main():
    found = {"runs": [], "error": ""}
    try:
        token = login()
        found["version"] = call("GET", "/api/v2/version", token=token)
        found["health"] = settled()
        deadline = time.monotonic() + WANTED["timeout"]
        missing = set(WANTED["schedulers"])
        least = RUNS * len(missing)
        while missing and (time.monotonic() < deadline or len(found["runs"]) < least):
            run = run_once(token)
            found["runs"].append(run)
            missing.discard(run["scheduler"])
            if run["state"] != "success":
                break
        wait_read(time.monotonic() + WANTED["timeout"])
        errors = call("GET", "/api/v2/importErrors", token=token)["import_errors"]
        found["import_errors"] = [
            f"{e['filename']}: {e['stack_trace'].strip().splitlines()[-1]}" for e in errors
        ]
    except urllib.error.HTTPError as error:
        found["error"] = f"{error.url}: {error.code} {error.read()[:500].decode(errors='replace')}"
    except OSError as error:
        found["error"] = str(error)
    print(json.dumps(found))


main()
