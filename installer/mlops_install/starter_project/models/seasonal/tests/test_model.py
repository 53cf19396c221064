"""The model on a curve like the real one, its training, and its service."""

import math
from datetime import date, timedelta

import model
import pytest
import service
import training

FIRST = date(1985, 1, 5)
WEEKS = [str(FIRST + timedelta(weeks=n)) for n in range(15 * 52)]


def curve(weeks, shift=0.0):
    days = [(date.fromisoformat(week) - FIRST).days / 365.25 for week in weeks]
    return [340 + 1.5 * day + 3 * math.sin(2 * math.pi * day) + shift for day in days]


@pytest.fixture
def file(tmp_path, monkeypatch):
    """The data of the curve, as `prepare` writes them."""
    monkeypatch.setenv("MLOPS_DATA", str(tmp_path))
    path = tmp_path / "data.csv"
    rows = zip(WEEKS, curve(WEEKS), strict=True)
    path.write_text("week,co2\n" + "".join(f"{week},{co2}\n" for week, co2 in rows))
    return str(path)


def test_it_knows_trend_and_season():
    fitted = model.fit(WEEKS[:-26], curve(WEEKS[:-26]))
    predicted = model.predict(fitted, WEEKS[-26:])
    assert predicted == pytest.approx(curve(WEEKS[-26:]), abs=0.3)


def test_training_leaves_a_version_and_compares_with_production(file, tmp_path):
    trained = training.train(file)
    assert trained["production"] is None
    assert trained["weeks"] == WEEKS[-13:]
    link = tmp_path / "models" / training.NAME / "production"
    link.symlink_to(trained["version"])
    assert training.train(file)["production"] == trained["candidate"]
    made = training.forecast(file)
    assert len(made["rows"]) == 26
    assert made["rows"][0][0] == str(date.fromisoformat(WEEKS[-1]) + timedelta(weeks=1))


def test_the_service_answers_and_refuses(file):
    loaded = service.load(training.train(file)["version"])
    weeks = WEEKS[-2:]
    service.check({"weeks": weeks})
    assert service.predict(loaded, {"weeks": weeks})["co2"] == pytest.approx(curve(weeks), abs=0.3)
    for bad in ({}, {"weeks": "2000-01-08"}, {"weeks": []}, {"weeks": ["tomorrow"]}):
        with pytest.raises(ValueError):  # noqa: PT011
            service.check(bad)
