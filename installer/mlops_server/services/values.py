"""JSON of a deployed model. Runs within serve.py, with any Python from 3.8 on."""

from __future__ import annotations

import json
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KEYS = (str, int, float, type(None))
ENDLESS = re.compile(rb"[eE]\+?\d{3}|\d{309}")  # else no number is beyond the largest float


def as_json(answer: dict[str, Any]) -> bytes:
    """An answer, also of numpy's and pandas' values. Raises `TypeError`, `ValueError` for NaN."""
    try:
        text = json.dumps(answer, default=_plain, allow_nan=False)
    except TypeError:  # it may be for a key, which `default` does not get to see
        text = json.dumps(_keyed(answer), default=_plain, allow_nan=False)
    return text.encode()


def _plain(value: Any) -> Any:
    """Arrays and numbers of numpy, and series and frames of pandas, as lists and plain numbers."""
    if hasattr(value, "tolist"):
        return _keyed(value.tolist())
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "to_dict") and hasattr(value, "columns"):
        return _keyed(value.to_dict("records"))
    raise TypeError(f"predict() returned a {type(value).__name__}, which JSON has not")


def _keyed(value: Any) -> Any:
    """The same with keys that JSON has: numpy's numbers are plain ones, dates are texts."""
    if isinstance(value, dict):
        return {k if isinstance(k, KEYS) else _plain(k): _keyed(v) for k, v in value.items()}
    return [_keyed(one) for one in value] if isinstance(value, (list, tuple)) else value


def parse(data: bytes) -> Any:
    """A request's JSON, which has neither NaN nor infinity. Raises `ValueError`."""
    try:
        floats = _finite if ENDLESS.search(data) else None
        return json.loads(data, parse_constant=_finite, parse_float=floats)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _finite(text: str) -> float:
    found = float(text)
    if found - found != 0:
        raise ValueError(f"{text[:30]} is not a number of JSON")
    return found
