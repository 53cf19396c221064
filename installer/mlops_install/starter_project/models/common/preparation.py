"""Data preparation: fill the gaps, describe the data, write the file that models read."""

import os
from pathlib import Path
from typing import Any

import pandas as pd
import report
import series


def prepare(name: str, today: str, shift: float = 0.0, reason: str = "") -> dict[str, Any]:
    """Write features/<name>.csv and reports/<name>.html below MLOPS_DATA; where, and the scope."""
    measured = series.load(today, shift)
    filled = measured.interpolate()
    data = Path(os.environ["MLOPS_DATA"])
    file = data / "features" / f"{name}.csv"
    page = data / "reports" / f"{name}.html"
    write(file, filled.rename_axis("week").to_csv(date_format="%Y-%m-%d"))
    scope = describe(measured) | {"today": today, "reason": reason or "schedule"}
    write(page, report.html(scope, statistics(filled), filled))
    return {"file": str(file), "report": str(page), "scope": scope}


def describe(measured: pd.Series) -> dict[str, Any]:
    """The scope of the data."""
    return {
        "from": f"{measured.index[0]:%Y-%m-%d}",
        "to": f"{measured.index[-1]:%Y-%m-%d}",
        "rows": len(measured),
        "missing": int(measured.isna().sum()),
    }


def statistics(filled: pd.Series) -> pd.DataFrame:
    """What the models have to explain: a row per feature."""
    features = {
        "CO2 (ppm)": filled,
        "change in a week": filled.diff(),
        "change in a year": filled.diff(52),
        "season (minus mean of a year)": filled - filled.rolling(52, center=True).mean(),
    }
    return pd.DataFrame(features).describe().T[["mean", "std", "min", "50%", "max"]]


def write(path: Path, text: str) -> None:
    """Write a file so that nobody reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    new.write_text(text)
    new.replace(path)
