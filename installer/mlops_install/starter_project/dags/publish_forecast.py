"""The same workflow as DAGs of their own, 3 of 3: forecasts of the models in production."""

import datetime

from airflow.sdk import DAG, Asset, TaskGroup, task

MODELS = ("baseline", "seasonal")


def forecast() -> dict:
    import os

    import training

    return training.forecast(os.environ["MLOPS_DATA"] + "/features/separate.csv")


@task.conda(env="common")
def publish(forecast: dict, run_id=None) -> int:
    import forecasts

    return forecasts.publish(forecast["model"], run_id, forecast["rows"])


with DAG(
    "publish_forecast",
    description="CO2 forecasts, step 3: the table",
    doc_md=__doc__,
    schedule=[Asset(f"co2_{model}") for model in MODELS],
    start_date=datetime.datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    tags=["forecast", "separate"],
):
    for model in MODELS:
        with TaskGroup(model):
            publish(task.conda(env=model)(forecast)())
