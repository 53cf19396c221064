"""Compares the published forecasts with the data that have arrived since; trains anew if need be.

The training is started through Airflow's REST API, with the login of the connection `airflow_api`
(README.md says how to make it). That task runs in Airflow's own Python; code in the environment
of a model does not get to see the login.
"""

import datetime
import json
import urllib.error
import urllib.request

from airflow.sdk import DAG, Param, task

TODAY = "{{ params.today or var.value.get('today', '1999-12-31') }}"
TRAINING = "forecast_integrated"


@task.conda(env="common")
def measure(today: str, params=None) -> dict:
    import drift

    found = drift.measure(["baseline", "seasonal"], today, params["shift"], params["bound"])
    print(found)
    return found


@task.short_circuit
def is_drifted(found: dict) -> bool:
    return bool(found["reason"])


@task(retries=2, retry_delay=datetime.timedelta(seconds=30))
def start_training(found: dict, run_id=None) -> str:
    from airflow.sdk import BaseHook

    login = BaseHook.get_connection("airflow_api")
    api = f"{login.schema or 'http'}://{login.host}:{login.port or 8080}"
    known = {"username": login.login, "password": login.password}
    token = post(f"{api}/auth/token", known)["access_token"]
    run = {
        "dag_run_id": f"drift__{run_id}",
        "logical_date": None,
        "conf": {key: found[key] for key in ("today", "shift", "reason")},
    }
    try:
        return post(f"{api}/api/v2/dags/{TRAINING}/dagRuns", run, token)["dag_run_id"]
    except urllib.error.HTTPError as error:
        if error.code != 409:  # it is there already: an earlier try of this task started it
            raise
        return run["dag_run_id"]


def post(url: str, content: dict, token: str = "") -> dict:
    """POST as JSON; the answer. Not by a proxy: Airflow is on this machine."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    request = urllib.request.Request(url, json.dumps(content).encode(), headers)  # noqa: S310
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as answer:
        return json.load(answer)


with DAG(
    "watch_drift",
    description="CO2 forecasts: is the error still small?",
    doc_md=__doc__,
    schedule="@daily",
    start_date=datetime.datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    tags=["forecast"],
    params={
        "today": Param(None, type=["null", "string"], format="date"),
        "shift": Param(0.0, type="number", description="added to the newest 39 weeks"),
        "bound": Param(3.0, type="number", exclusiveMinimum=0, description="ppm"),
    },
):
    found = measure(TODAY)
    is_drifted(found) >> start_training(found)
