"""How well the published forecasts did, now that the data for them has arrived."""

from collections.abc import Sequence
from typing import Any

import forecasts
import series

ENOUGH = 4  # weeks


def measure(models: Sequence[str], today: str, shift: float, bound: float) -> dict[str, Any]:
    """The live error of each model, and why to train anew; an empty `reason` if not to."""
    arrived = series.load(today, shift).dropna()
    truth = {f"{week:%Y-%m-%d}": float(co2) for week, co2 in arrived.items()}
    errors = {name: live_error(forecasts.published(name, today), truth) for name in models}
    reasons = [
        f"{name}: live error {error:.2f} ppm is above {bound:g}"
        for name, error in errors.items()
        if error is not None and error > bound
    ]
    return {"errors": errors, "today": today, "shift": shift, "reason": "; ".join(reasons)}


def live_error(forecast: dict[str, float], truth: dict[str, float]) -> float | None:
    """The mean absolute error in ppm; None while there are too few weeks to say."""
    weeks = forecast.keys() & truth.keys()
    if len(weeks) < ENOUGH:
        return None
    return sum(abs(forecast[week] - truth[week]) for week in weeks) / len(weeks)
