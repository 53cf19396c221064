"""What an executor runs, in the words of every version of Airflow from 3.1 on."""

from collections.abc import Sequence
from typing import Any

from airflow.utils import state as states
from airflow.utils.state import TaskInstanceState


def key(workload: Any) -> Any:
    """By what the executor knows it."""
    if hasattr(workload, "key"):
        return workload.key
    return workload.ti.key if hasattr(workload, "ti") else workload.callback.id


def began(workload: Any, said: Sequence[Any]) -> Any:
    """The state that it has now, when that is not the last one; else None."""
    state = _state(workload, said)
    return state if state and state.value not in ("success", "failed") else None


def ended(workload: Any, said: Sequence[Any], why: str) -> tuple[Any, str | None]:
    """The last state, and the reason where it failed: `why` when nothing was said."""
    state = _state(workload, said)
    if state and state.value == "success":
        return state, None
    reason = said[1] if state and len(said) > 1 else why
    return _kind(workload)("failed"), str(reason)[:1000]


def _state(workload: Any, said: Sequence[Any]) -> Any:
    try:
        return _kind(workload)(said[0])
    except (ValueError, TypeError, IndexError):
        return None


def _kind(workload: Any) -> Any:
    """The class of its states."""
    if hasattr(workload, "failure_state"):
        return type(workload.failure_state)
    return TaskInstanceState if hasattr(workload, "ti") else states.CallbackState
