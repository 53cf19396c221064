"""The whole workflow in one DAG: prepare, then for each model train, promote, forecast, publish.

Results travel between the tasks as XCom: return values. Data and models are files in MLOPS_DATA,
the forecast is a table in PostgreSQL.
"""

import datetime

from airflow.sdk import DAG, Param, TaskGroup, task

MODELS = ("baseline", "seasonal")
TODAY = "{{ params.today or var.value.get('today', '1999-12-31') }}"


@task.conda(env="common")
def prepare(today: str, params=None) -> dict:
    import preparation

    return preparation.prepare("integrated", today, params["shift"], params["reason"])


def train(prepared: dict) -> dict:
    import training

    return training.train(prepared["file"])


@task.conda(env="common")
def promote(prepared: dict, trained: dict) -> dict:
    import promotion

    return promotion.promote(prepared["file"], trained)


def forecast(prepared: dict) -> dict:
    import training

    return training.forecast(prepared["file"])


@task.conda(env="common")
def publish(forecast: dict, run_id=None) -> int:
    import forecasts

    return forecasts.publish(forecast["model"], run_id, forecast["rows"])


with DAG(
    "forecast_integrated",
    description="CO2 forecasts: all steps in one DAG",
    doc_md=__doc__,
    schedule="@weekly",
    start_date=datetime.datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    tags=["forecast"],
    params={
        "today": Param(None, type=["null", "string"], format="date"),
        "shift": Param(0.0, type="number", description="added to the newest 39 weeks"),
        "reason": Param("", type="string", description="why this run was started"),
    },
):
    prepared = prepare(TODAY)
    for model in MODELS:
        with TaskGroup(model):
            trained = task.conda(env=model)(train)(prepared)
            promoted = promote(prepared, trained)
            rows = task.conda(env=model)(forecast)(prepared)
            promoted >> rows
            publish(rows)
