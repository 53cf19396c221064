"""Functions that travel: what is refused when a DAG is read, and what is not."""

import functools

import pytest
from mlops_airflow import functions


def test_functions_that_cannot_travel_are_refused():
    helper = 1

    def closes():
        return helper

    def yields():
        yield 1

    async def waits():
        return 1

    with pytest.raises(TypeError, match="closes uses helper of the function around it"):
        functions.plain(closes)
    with pytest.raises(TypeError, match="yield"):
        functions.plain(yields)
    with pytest.raises(TypeError, match="asyncio"):
        functions.plain(waits)
    with pytest.raises(TypeError, match="not a function"):
        functions.plain(lambda: 1)
    with pytest.raises(TypeError, match="not a function"):
        functions.plain(len)


def test_a_function_may_call_itself_and_be_wrapped():
    def count(n):
        return 0 if n == 0 else count(n - 1)

    @functools.wraps(count)
    def wrapper(n):
        return count(n)

    assert functions.plain(wrapper) is count
    assert functions.file_of(count) == __file__


def test_the_error_is_told_by_the_file_in_the_release(tmp_path):
    error = {"text": "ValueError: bad", "file": f"{tmp_path}/dags/x.py", "line": 12}
    assert functions.error_text(error, tmp_path) == "ValueError: bad (dags/x.py, line 12)"
    assert functions.error_text(error, None).endswith(f"({tmp_path}/dags/x.py, line 12)")
    assert functions.error_text({"text": "no"}, tmp_path) == "no"
