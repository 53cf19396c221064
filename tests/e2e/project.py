"""A workflow project for the tests: models whose library versions conflict, and their DAGs."""

import json
from pathlib import Path

import channel
import walls
from server import Server

CHURN = """\
name: churn
channels: [conda-forge]
dependencies:
  - python 3.11.*
  - scikit-learn 1.5.*
  - numpy <2
  - actenv
variables:
  OMP_NUM_THREADS: 1
"""
DEMAND = """\
name: demand
channels: [conda-forge]
dependencies:
  - python 3.11.*
  - scikit-learn 1.7.*
  - numpy 2.*
  - pandas
  - pip:
      - tabulate ==0.9.0
"""
VISION = """\
name: vision
channels: [conda-forge]
dependencies:
  - python 3.11.*
  - needsgpu
"""
FEATURES = '''\
"""Code of the model, beside its environment."""


def scale(rows):
    from sklearn.preprocessing import StandardScaler

    return StandardScaler().fit_transform(rows)
'''
DAGS = '''\
"""DAGs of the tests' project."""

from datetime import timedelta

from airflow.sdk import dag, task
from mlops_airflow import CondaBashOperator


@task.conda(env="churn")
def train_churn(seed: int) -> dict[str, object]:
    import sys
    from dataclasses import asdict, dataclass

    import actenv
    import sklearn
    from features import scale
    from sklearn.datasets import load_iris
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import cross_val_score

    x, y = load_iris(return_X_y=True)
    score = cross_val_score(RandomForestClassifier(random_state=seed), scale(x), y).mean()
    @dataclass
    class Trained:
        version: str
        score: float
        prefix: str
        activated: str

    print("trained churn")
    return asdict(Trained(sklearn.__version__, float(score), sys.prefix, actenv.__name__))


@task.conda(env="demand")
def train_demand(churn: dict[str, object]) -> dict[str, object]:
    import sys

    import numpy as np
    import sklearn
    import tabulate
    from sklearn.datasets import load_diabetes
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import cross_val_score

    x, y = load_diabetes(return_X_y=True)
    score = cross_val_score(Ridge(), x, y).mean()
    return {"version": sklearn.__version__, "score": np.float64(score), "prefix": sys.prefix,
            "tabulate": tabulate.__version__, "after": churn["version"]}


@task.conda(env="churn", retries=0)
def slow(file: str, seconds: float) -> dict[str, str]:
    import os
    import sys
    import time

    import sklearn

    with open(file, "a") as out:
        out.write(sys.prefix + "\\n")
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end and not os.path.exists(file + ".enough"):
        time.sleep(0.5)
    import sklearn.cluster  # a file of the environment that is read only now

    return {"version": sklearn.__version__, "prefix": sys.prefix}


@task.conda(env="churn", retries=0)
def after(slow: dict[str, str]) -> dict[str, str]:
    import os

    import sklearn

    return {"version": sklearn.__version__, "release": os.environ["MLOPS_RELEASE"]}


@task.conda(env="churn", retries=0)
def environ() -> dict[str, str]:
    import os

    return dict(os.environ)


@task.conda(env="churn", retries=0)
def large() -> str:
    return "x" * 400_000


@task.conda(env="churn", retries=0)
def length(text: str) -> int:
    return len(text)


@task.conda(env="churn", retries=0)
def wrong() -> None:
    raise ValueError("the data is " + "too old")


@task.conda(env="chrun", retries=3)
def unknown() -> None:
    print("never")


@task.conda(env="churn", retries=0, execution_timeout=timedelta(seconds=5))
def endless(mark: str) -> None:
    import subprocess

    subprocess.Popen(["setsid", "sleep", mark])
    subprocess.run(["sleep", mark])


@task.conda(env="vision", retries=0)
def on_gpu() -> str:
    import needsgpu

    return needsgpu.__name__


@dag(schedule=None, is_paused_upon_creation=False)
def conflict():
    train_demand(train_churn(7))


@dag(schedule=None, is_paused_upon_creation=False, params={"file": "", "seconds": 0})
def one_slow():
    after(slow("{{ params.file }}", "{{ params.seconds }}"))


@dag(schedule=None, is_paused_upon_creation=False)
def tasks():
    environ()
    length(large())
    wrong()
    unknown()
    on_gpu()
    CondaBashOperator(task_id="script", env="churn", retries=0,
                      bash_command="python -c 'import sklearn; print(sklearn.__version__)'")


@dag(schedule=None, is_paused_upon_creation=False, params={"mark": "1"})
def forever():
    endless("{{ params.mark }}")


conflict()
one_slow()
tasks()
forever()
'''
CONFIG = """\

[workflows]
path = "{project}"

[models]
channel_mirrors = {{ conda-forge = "{channel}" }}

[pools]
gpu = 1
"""


def config(folder: Path, conda_forge: channel.Server, machine: str = "host.internal") -> str:
    """What the config says of a project; `machine` is this one, as boxes call it."""
    return CONFIG.format(project=folder, channel=conda_forge.at(machine))


def here(config: str) -> str:
    """The config of a server as this machine needs it to lock: its own address, its index."""
    index = f'[base]\npython_index = "{walls.upstream_index()}"\n'
    return config.replace("[base]\n", index, 1).replace("host.internal", "127.0.0.1")


def write(folder: Path) -> None:
    """The project's files; the locks are made by the installer's own command."""
    files = {
        "dags/models.py": DAGS,
        "models/churn/environment.yml": CHURN,
        "models/churn/features.py": FEATURES,
        "models/demand/environment.yml": DEMAND,
        "models/vision/environment.yml": VISION,
        "models/vision/model.toml": 'gpu = true\ncuda = "12.8"\n',
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def results(server: Server, dag: str, run: str, task: str) -> object:
    """What a task returned."""
    path = f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task}/xcomEntries/return_value"
    value = server.api("GET", path)["value"]
    return json.loads(value) if isinstance(value, str) and value[:1] in "{[" else value
