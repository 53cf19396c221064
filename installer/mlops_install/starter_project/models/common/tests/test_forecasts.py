"""The forecast table; only where FORECAST_DATABASE names a database to try it in."""

import os

import forecasts
import pytest

pytestmark = pytest.mark.skipif(
    "FORECAST_DATABASE" not in os.environ, reason="FORECAST_DATABASE is not set"
)


def test_a_run_replaces_its_own_rows_only():
    forecasts.publish("test", "run 1", [["2000-01-01", 360.0], ["2000-01-08", 361.0]])
    assert forecasts.publish("test", "run 1", [["2000-01-01", 365.0]]) == 1
    assert forecasts.published("test", "2000-12-31") == {"2000-01-01": 365.0}
    forecasts.publish("other", "run 1", [["2000-01-01", 1.0]])
    assert forecasts.published("test", "2000-12-31") == {"2000-01-01": 365.0}
    assert forecasts.published("test", "1999-12-31") == {}


def test_nothing_is_written_when_a_row_is_bad():
    forecasts.publish("test", "run 2", [["2000-01-01", 360.0]])
    with pytest.raises(forecasts.psycopg2.Error):
        forecasts.publish("test", "run 2", [["2000-01-08", 361.0], ["no date", 0.0]])
    assert forecasts.published("test", "2000-12-31") == {"2000-01-01": 360.0}
