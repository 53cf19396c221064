"""What several tests of workflows start from."""

from pathlib import Path

import pytest
from mlops_server.workflows import gate
from upstream import Server, Upstream


@pytest.fixture
def repo(tmp_path: Path) -> Upstream:
    """A repository of workflows."""
    return Upstream(tmp_path)


@pytest.fixture
def server(
    tmp_path: Path,
    repo: Upstream,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Server:
    """A server that pulls it, whose gate lets everything pass: a real one needs Airflow."""
    monkeypatch.setattr(gate, "check", lambda layout, release, commit, say: [])
    return Server(tmp_path / "root", repo.bare, capsys)
