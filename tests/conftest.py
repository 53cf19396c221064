"""What tests share: a conda channel of real packages, and a PostgreSQL."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for the tests: `import channel`

import channel
import postgres


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A PostgreSQL of the tests' own."""
    with postgres.cluster():
        yield


@pytest.fixture(scope="session")
def conda_forge() -> Iterator[channel.Server]:
    """A mirror of conda-forge; CI must not leave the tests out that need it."""
    reason = channel.unavailable()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(f"CI must run the conda tests: {reason}")
    elif reason:
        pytest.skip(reason)
    with channel.serve(channel.build(), "0.0.0.0") as server:
        yield server
