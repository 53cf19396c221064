"""Promotion only of what is better, and what stays on the disk."""

import json

import promotion
import pytest


@pytest.fixture
def trained(tmp_path):
    """Make what a training returns, for predictions by the candidate and by production."""
    file = tmp_path / "data.csv"
    file.write_text("week,co2\n2000-01-01,360.0\n2000-01-08,361.0\n")

    def make(name, candidate, production=None):
        version = tmp_path / "models/test/versions" / name
        version.mkdir(parents=True)
        weeks = ["2000-01-01", "2000-01-08"]
        found = {"model": "test", "version": str(version), "weeks": weeks}
        return str(file), found | {"candidate": candidate, "production": production}

    return make


def test_the_first_model_goes_into_production(trained, tmp_path):
    metrics = promotion.promote(*trained("1", [360.5, 361.5]))
    assert metrics["promoted"]
    written = json.loads((tmp_path / "models/test/production/metrics.json").read_text())
    assert written["error"] == pytest.approx(0.5)


@pytest.mark.parametrize(("candidate", "expected"), [([360.1, 361.1], "2"), ([362, 363], "1")])
def test_another_one_only_when_it_is_better(trained, tmp_path, candidate, expected):
    promotion.promote(*trained("1", [360.5, 361.5]))
    metrics = promotion.promote(*trained("2", candidate, [360.5, 361.5]))
    assert metrics["promoted"] == (expected == "2")
    assert (tmp_path / "models/test/production").resolve().name == expected


def test_old_versions_go_but_never_the_one_in_production(trained, tmp_path):
    promotion.promote(*trained("0", [360.0, 361.0]))
    for number in range(1, 8):
        promotion.promote(*trained(str(number), [365, 365], [360.0, 361.0]))
    left = sorted(path.name for path in (tmp_path / "models/test/versions").iterdir())
    assert left == ["0", "3", "4", "5", "6", "7"]
