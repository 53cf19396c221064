"""Evaluation against the model in production, and promotion of what is better.

MLOPS_DATA/models/<name>/versions/<version>   a trained model, and metrics.json once promoted
MLOPS_DATA/models/<name>/production           link to the version in production
"""

import csv
import json
import os
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

KEPT = 5


def promote(file: str, trained: dict[str, Any]) -> dict[str, Any]:
    """Put the trained model into production if it beats the one there; the metrics.

    `trained` is what a model's `training.train` returns.
    """
    version = Path(trained["version"])
    truth = read(file)
    metrics = {
        "model": trained["model"],
        "version": version.name,
        "error": mean_error(trained["candidate"], trained["weeks"], truth),
        "error_in_production": None,
    }
    if trained["production"] is not None:
        error = mean_error(trained["production"], trained["weeks"], truth)
        metrics["error_in_production"] = error
    metrics["promoted"] = is_better(metrics["error"], metrics["error_in_production"])
    if metrics["promoted"]:
        switch(version, metrics | {"at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"})
    sweep(version.parent)
    print(json.dumps(metrics))
    return metrics


def read(file: str) -> dict[str, float]:
    """Week -> CO2."""
    with open(file, newline="") as rows:
        return {row["week"]: float(row["co2"]) for row in csv.DictReader(rows)}


def mean_error(predicted: Sequence[float], weeks: Sequence[str], truth: dict[str, float]) -> float:
    """The mean absolute error in ppm."""
    return sum(abs(p - truth[w]) for p, w in zip(predicted, weeks, strict=True)) / len(weeks)


def is_better(error: float, in_production: float | None) -> bool:
    """Whether to promote. Change this to ask for more than a bit."""
    return in_production is None or error < in_production


def switch(version: Path, metrics: dict[str, Any]) -> None:
    """Make the version the production: one rename, so that nobody sees a half."""
    (version / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    new = version.parents[1] / f"production.{os.getpid()}.new"
    new.unlink(missing_ok=True)
    new.symlink_to(f"versions/{version.name}")
    new.replace(version.parents[1] / "production")


def sweep(versions: Path) -> None:
    """Keep the newest versions, and the one in production."""
    production = (versions.parent / "production").resolve()
    for old in sorted(versions.iterdir())[:-KEPT]:
        if old.resolve() != production:
            shutil.rmtree(old)
