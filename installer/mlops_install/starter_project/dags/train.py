"""The same workflow as DAGs of their own, 2 of 3: training, whenever there are new data.

Each model that has been trained and compared is new as the asset `co2_<model>`; when both are,
`publish_forecast` starts.
"""

import datetime

from airflow.sdk import DAG, Asset, TaskGroup, task

MODELS = ("baseline", "seasonal")


def train() -> dict:
    import os

    import training

    return training.train(os.environ["MLOPS_DATA"] + "/features/separate.csv")


def promote(trained: dict) -> dict:
    import os

    import promotion

    return promotion.promote(os.environ["MLOPS_DATA"] + "/features/separate.csv", trained)


with DAG(
    "train",
    description="CO2 forecasts, step 2: models",
    doc_md=__doc__,
    schedule=[Asset("co2_features")],
    start_date=datetime.datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    tags=["forecast", "separate"],
):
    for model in MODELS:
        with TaskGroup(model):
            trained = task.conda(env=model)(train)()
            task.conda(env="common", outlets=[Asset(f"co2_{model}")])(promote)(trained)
