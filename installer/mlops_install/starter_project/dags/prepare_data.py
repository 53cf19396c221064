"""The same workflow as DAGs of their own, 1 of 3: data on a schedule.

It tells Airflow that the asset `co2_features` is new, which starts `train`. The data themselves
are a file.
"""

import datetime

from airflow.sdk import DAG, Asset, Param, task

TODAY = "{{ params.today or var.value.get('today', '1999-12-31') }}"


@task.conda(env="common", outlets=[Asset("co2_features")])
def prepare(today: str, params=None) -> dict:
    import preparation

    return preparation.prepare("separate", today, params["shift"])


with DAG(
    "prepare_data",
    description="CO2 forecasts, step 1: data",
    doc_md=__doc__,
    schedule="@daily",
    start_date=datetime.datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    tags=["forecast", "separate"],
    params={
        "today": Param(None, type=["null", "string"], format="date"),
        "shift": Param(0.0, type="number", description="added to the newest 39 weeks"),
    },
):
    prepare(TODAY)
