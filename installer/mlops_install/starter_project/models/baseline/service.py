"""Predictions as a service: the server loads the model once, then calls `check` and `predict`."""

from datetime import date
from pathlib import Path
from typing import Any

import joblib
import model as code

MOST = 520  # weeks


def load(folder: str | Path) -> Any:
    """The model of a version's folder."""
    return joblib.load(Path(folder) / "model.joblib")


def check(request: dict[str, Any]) -> None:
    """Raises ValueError for a request that is the client's mistake."""
    weeks = request.get("weeks")
    if not isinstance(weeks, list) or not all(isinstance(week, str) for week in weeks):
        raise ValueError('"weeks" is a list of dates such as "2000-01-08"')
    if not 0 < len(weeks) <= MOST:
        raise ValueError(f'"weeks" has 1 to {MOST} dates, not {len(weeks)}')
    for week in weeks:
        date.fromisoformat(week)


def predict(model: Any, request: dict[str, Any]) -> dict[str, Any]:
    """{"weeks": ["2000-01-08", ...]} -> {"co2": [...]}, in ppm."""
    return {"co2": [round(value, 3) for value in code.predict(model, request["weeks"])]}
