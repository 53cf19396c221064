"""Progress on a terminal and in a pipe: it prints, and never waits for itself."""

import io
import threading
import time

import pytest
from mlops_install import progress
from mlops_install.engine import Event
from rich.console import Console


@pytest.fixture
def screen(monkeypatch):
    out = io.StringIO()

    def show(terminal):
        console = Console(file=out, force_terminal=terminal, width=100)
        monkeypatch.setattr(progress, "people", lambda: console)
        return out

    return show


def work(seconds: float) -> None:
    with progress.progress(3) as shown:
        shown(Event("stage", "build", "a, b"))
        for lane in ("a", "b"):
            shown(Event("start", lane, f"thing {lane}"))
            shown(Event("output", lane, "[fetching] 100%"))
        time.sleep(seconds)
        shown(Event("done", "a", "thing a"))
        shown(Event("failed", "b", "thing b"))


@pytest.mark.parametrize("terminal", [True, False])
def test_long_work_is_told_and_nothing_hangs(screen, terminal):
    out = screen(terminal)
    thread = threading.Thread(target=work, args=(1.2,), daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), "it waits for itself"
    text = out.getvalue()
    assert "build: thing a (1.2 s)" in text
    assert "failed  build: thing b" in text
    assert ("\x1b" in text) == terminal


def test_short_work_is_only_counted(screen):
    out = screen(False)
    work(0)
    assert "thing a" not in out.getvalue()


def test_timings_are_kept():
    shown = progress.Progress(1)
    shown(Event("stage", "build", "a"))
    shown(Event("start", "a", "thing"))
    shown(Event("done", "a", "thing"))
    (timing,) = shown.timings
    assert (timing["stage"], timing["lane"], timing["resource"]) == ("build", "a", "thing")
