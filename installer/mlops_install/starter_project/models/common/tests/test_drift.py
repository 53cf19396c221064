"""When the published forecasts are called wrong."""

import drift
import pytest
import series

TODAY = "1999-12-31"


@pytest.fixture
def published(monkeypatch):
    """Forecasts that were exactly right, in place of the table."""
    truth = series.load(TODAY).dropna().iloc[-10:]
    rows = {f"{week:%Y-%m-%d}": co2 for week, co2 in truth.items()}
    monkeypatch.setattr(drift.forecasts, "published", lambda model, today: rows)
    return rows


def test_a_good_forecast_is_left_alone(published):
    found = drift.measure(["seasonal"], TODAY, 0.0, 2.0)
    assert found["errors"] == {"seasonal": pytest.approx(0.0)}
    assert found["reason"] == ""


def test_a_drift_is_a_reason(published):
    found = drift.measure(["seasonal"], TODAY, 5.0, 2.0)
    assert found["reason"] == "seasonal: live error 5.00 ppm is above 2"


def test_too_few_weeks_say_nothing(published):
    for week in list(published)[3:]:
        del published[week]
    assert drift.measure(["seasonal"], TODAY, 5.0, 2.0)["reason"] == ""
