"""A run without a logical date: what a task misses is named, with what to write."""

import pytest
from mlops_airflow import dates


class UndefinedError(Exception):
    """As Jinja calls it."""


def asks(day, ds, ts=None, *, run_id="x"):
    return day, ds, ts, run_id


@pytest.mark.parametrize(
    ("found", "args", "name"),
    [
        ({"run_id"}, [1], "ds"),
        ({"ds"}, [1], None),
        (set(), [1, "2026-01-01"], None),
        ({"day", "ds"}, [], None),
    ],
)
def test_an_argument_that_only_a_dated_run_has(found, args, name):
    assert dates.missing(asks, found, args) == name


def test_a_name_in_a_template():
    assert dates.undefined(UndefinedError("'ds' is undefined"), {"run_id": 1}) == "ds"
    assert dates.undefined(UndefinedError("'ds' is undefined"), {"ds": 1}) is None
    assert dates.undefined(UndefinedError("'dds' is undefined"), {}) is None
    assert dates.undefined(ValueError("'ds' is undefined"), {}) is None


def test_the_text_says_what_to_write():
    text = dates.text("ds", "argument ds")
    assert text.startswith("argument ds: this run has no logical date")
    assert "`ds=None`" in text
    assert "{{ dag_run.run_after | ds }}" in text
