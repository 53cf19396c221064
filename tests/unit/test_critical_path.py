"""The picture of a run: every bar is in its lane's row, and those of the critical path are dark."""

import sys
from pathlib import Path
from xml.etree import ElementTree

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from critical_path import CRITICAL, OTHER, critical, draw

TIMINGS = [
    {"stage": "prepare", "lane": "base", "resource": "first packages", "start": 0, "seconds": 4.0},
    {"stage": "build", "lane": "airflow", "resource": "venv <new>", "start": 4.5, "seconds": 6.0},
    {"stage": "build", "lane": "packages", "resource": "packages", "start": 4.1, "seconds": 8.0},
    {"stage": "build", "lane": "packages", "resource": "cluster", "start": 12.2, "seconds": 2.0},
    {"stage": "start", "lane": "airflow", "resource": "answers", "start": 14.5, "seconds": 5.5},
]


def bars(picture: str) -> dict[str, tuple[str, float, float, float]]:
    """Resource -> colour, left side, width and top of its bar."""
    space = "{http://www.w3.org/2000/svg}"
    return {
        str(bar.findtext(f"{space}title")).rpartition(",")[0]: (
            bar.attrib["fill"],
            *(float(bar.attrib[name]) for name in ("x", "width", "y")),
        )
        for bar in ElementTree.fromstring(picture).iter(f"{space}rect")
        if bar.find(f"{space}title") is not None
    }


def test_the_critical_path_goes_through_the_lane_of_each_stage_that_ends_last():
    names = [timing["resource"] for timing in critical(TIMINGS)]
    assert names == ["first packages", "packages", "cluster", "answers"]


def test_every_bar_has_its_place_and_colour():
    found = bars(draw(TIMINGS, "a run"))
    assert {name: bar[0] for name, bar in found.items()} == {
        "first packages": CRITICAL, "venv <new>": OTHER, "packages": CRITICAL,
        "cluster": CRITICAL, "answers": CRITICAL,
    }  # fmt: skip
    widths = {name: bar[2] for name, bar in found.items()}
    assert abs(widths["packages"] / widths["first packages"] - 2) < 0.01
    rows = {name: bar[3] for name, bar in found.items()}
    assert rows["venv <new>"] == rows["answers"] != rows["packages"] == rows["cluster"]


def test_two_runs_can_have_one_scale():
    alone, beside = (bars(draw(TIMINGS, "a run", span))["answers"] for span in (0, 40))
    assert abs(alone[2] / beside[2] - 2) < 0.02
