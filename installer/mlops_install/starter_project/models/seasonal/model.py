"""Seasonal: a bent trend and smooth seasons of ten years, at the level of the last quarter."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

NEWEST = 10 * 52
QUARTER = 13
WAVES = 3


@dataclass
class Seasonal:
    """The shape of the curve, and how far the newest data lies above it."""

    shape: Pipeline
    level: float


def features(weeks: Sequence[str]) -> pd.DataFrame:
    """A row per week: trend, and waves of a year, half a year, a third of a year."""
    days = pd.to_datetime(pd.Series(weeks)) - pd.Timestamp("2000-01-01")
    years = days.dt.days / 365.25
    table = {"years": years, "years2": years**2}
    for wave in range(1, WAVES + 1):
        table[f"sin{wave}"] = np.sin(2 * np.pi * wave * years)
        table[f"cos{wave}"] = np.cos(2 * np.pi * wave * years)
    return pd.DataFrame(table)


def fit(weeks: Sequence[str], values: Sequence[float]) -> Seasonal:
    """Learn the shape from ten years, and then the level from thirteen weeks."""
    table, target = features(weeks[-NEWEST:]), np.array(values[-NEWEST:])
    shape = make_pipeline(StandardScaler(), Ridge(alpha=0.1)).fit(table, target)
    rest = target - shape.predict(table)
    return Seasonal(shape, float(rest[-QUARTER:].mean()))


def predict(model: Seasonal, weeks: Sequence[str]) -> list[float]:
    """CO2 in ppm."""
    return [float(value) for value in model.shape.predict(features(weeks)) + model.level]
