"""Train a candidate, and let it and the model in production predict weeks that it has not seen."""

import csv
import os
import warnings
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import joblib
import model
from sklearn.exceptions import InconsistentVersionWarning

NAME = Path(__file__).parent.name
HELD_OUT = 13  # weeks
HORIZON = 26  # weeks


def train(file: str) -> dict[str, Any]:
    """Train on all but the newest weeks; where the new version is, and predictions of both."""
    weeks, values = read(file)
    candidate = model.fit(weeks[:-HELD_OUT], values[:-HELD_OUT])
    version = home() / "versions" / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}"
    version.mkdir(parents=True)
    joblib.dump(candidate, version / "model.joblib")
    old = production()
    return {
        "model": NAME,
        "version": str(version),
        "weeks": weeks[-HELD_OUT:],
        "candidate": model.predict(candidate, weeks[-HELD_OUT:]),
        "production": model.predict(old, weeks[-HELD_OUT:]) if old else None,
    }


def forecast(file: str) -> dict[str, Any]:
    """What the model in production says about the weeks after the data: (week, co2)."""
    last = date.fromisoformat(read(file)[0][-1])
    weeks = [str(last + timedelta(weeks=n)) for n in range(1, HORIZON + 1)]
    values = model.predict(production(), weeks)
    return {"model": NAME, "rows": list(map(list, zip(weeks, values, strict=True)))}


def read(file: str) -> tuple[list[str], list[float]]:
    """The prepared data: weeks and CO2."""
    with open(file, newline="") as rows:
        table = list(csv.DictReader(rows))
    return [row["week"] for row in table], [float(row["co2"]) for row in table]


def home() -> Path:
    """Where the versions of this model are."""
    return Path(os.environ["MLOPS_DATA"]) / "models" / NAME


def production() -> Any:
    """The model in production; None if there is none that these libraries can be trusted with."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", InconsistentVersionWarning)
        try:
            return joblib.load(home() / "production/model.joblib")
        except (FileNotFoundError, InconsistentVersionWarning):
            return None
