"""Hash-pinned locks of what goes onto the server; `scripts/lock-airflow` writes them."""

from functools import cache
from pathlib import Path


@cache
def read(name: str) -> str:
    """The text of a lock."""
    return (Path(__file__).parent / name).read_text()


@cache
def dump(version: str) -> str:
    """What that Airflow makes in an empty database; empty where we have it not."""
    path = Path(__file__).parent / f"airflow-{version}.sql"
    return path.read_text() if path.exists() else ""
