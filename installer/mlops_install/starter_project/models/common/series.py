"""The data: weekly CO2 at Mauna Loa, 1958 to 2001, replayed as if today were another day."""

import pandas as pd
from statsmodels.datasets import co2

SHIFTED = 39  # weeks


def load(today: str, shift: float = 0.0) -> pd.Series:
    """What had been measured by `today`, in ppm; a week without a measurement is NaN.

    `shift` is added to the newest 39 weeks: a drift, to see what happens.
    """
    series = co2.load_pandas().data["co2"].loc[:today].copy()
    if len(series) < 10 * 52:
        raise ValueError(f"there are no ten years of data before {today}")
    series.iloc[-SHIFTED:] += shift
    return series
