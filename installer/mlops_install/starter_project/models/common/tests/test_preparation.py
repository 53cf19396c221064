"""The data, their description, and the report."""

from pathlib import Path

import pandas as pd
import preparation
import pytest
import series


def test_nothing_of_tomorrow_is_in_the_data():
    assert series.load("1990-06-30").index[-1] == pd.Timestamp("1990-06-30")
    with pytest.raises(ValueError, match="no ten years"):
        series.load("1960-01-01")


def test_a_shift_is_a_drift_of_the_newest_weeks():
    plain, shifted = series.load("1999-12-31"), series.load("1999-12-31", 5.0)
    difference = (shifted - plain).dropna()
    assert difference.iloc[-39:].between(4.999, 5.001).all()
    assert (difference.iloc[:-39] == 0).all()


def test_a_file_without_gaps_and_a_report_with_table_and_plot(tmp_path, monkeypatch):
    monkeypatch.setenv("MLOPS_DATA", str(tmp_path))
    made = preparation.prepare("test", "1999-12-31", reason="<why>")
    table = pd.read_csv(made["file"])
    assert list(table.columns) == ["week", "co2"]
    assert made["scope"]["rows"] == len(table) == 2179
    assert made["scope"]["missing"] == 59
    assert not table["co2"].isna().any()
    page = Path(made["report"]).read_text()
    assert page.count("<table") == 2
    assert "<svg" in page
    assert "&lt;why&gt;" in page
