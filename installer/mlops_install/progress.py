"""Progress of a run: live on a terminal, plain lines elsewhere."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlops_install.engine import Event
from mlops_install.report import people, styled

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

Timing = dict[str, str | float]
SILENCE = 15.0
"""Seconds after which there is a sign of life where nothing moves on a terminal."""


@dataclass
class Progress:
    """Where a run is: stage, what runs in each lane since when, and what is left."""

    total: int
    started: float = field(default_factory=time.monotonic)
    stage: str = ""
    done: int = 0
    running: dict[str, tuple[str, float, str]] = field(default_factory=dict)
    timings: list[Timing] = field(default_factory=list)
    """Per finished resource: stage, lane, resource, start and seconds."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, event: Event) -> None:
        with self.lock:
            line = self._take(event)
        if line:  # printed without the lock, which the live display takes while it prints
            people().print(line)

    def _take(self, event: Event) -> "Text | None":
        now = time.monotonic()
        if event.kind == "stage":
            self.stage, self.running = event.lane, {}
        elif event.kind == "start":
            self.running[event.lane] = (event.text, now, "")
        elif event.kind == "output" and event.lane in self.running:
            name, since, _ = self.running[event.lane]
            self.running[event.lane] = (name, since, event.text)
        elif event.kind in ("done", "failed"):
            _, since, _ = self.running.pop(event.lane, ("", now, ""))
            self.done += event.kind == "done"
            self._note(event, since, now - since)
            return self._ended(event, now - since)
        return None

    def _note(self, event: Event, since: float, seconds: float) -> None:
        times = {"start": round(since - self.started, 2), "seconds": round(seconds, 2)}
        where = {"stage": self.stage, "lane": event.lane, "resource": event.text}
        self.timings.append({**where, **times})

    def _ended(self, event: Event, seconds: float) -> "Text | None":
        """The line of what ended; quick things are only counted."""
        at = f"{time.monotonic() - self.started:6.1f}s"
        count = f"{self.done}/{self.total}"
        if event.kind == "failed":
            return styled(f"{at}  failed  {self.stage}: {event.text}", "bold red")
        if seconds > 1 or self.done == self.total:
            return styled(f"{at}  {count:>7}  {self.stage}: {event.text} ({seconds:.1f} s)")
        return None

    def alive(self) -> "Text | None":
        """A line about what has been running for long; None when nothing has."""
        with self.lock:
            now = time.monotonic()
            long = [(now - since, name, said) for name, since, said in self.running.values()]
        if not long or max(long)[0] < SILENCE:
            return None
        seconds, name, said = max(long)
        last = f": {said[:100]}" if said else ""
        at = f"{time.monotonic() - self.started:6.1f}s"
        return styled(f"{at}  {self.done:>3}/{self.total}  {name} ({seconds:.0f} s so far){last}")

    def __rich__(self) -> "Group":
        from rich.console import Group

        with self.lock:
            return Group(self._head(), *self._rows())

    def _head(self) -> "Text":
        seconds = int(time.monotonic() - self.started)
        text = f"{self.stage}  {self.done}/{self.total} done  {seconds // 60}:{seconds % 60:02}"
        return styled(text, "bold")

    def _rows(self) -> Iterator["Table"]:
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        for lane, (name, since, output) in self.running.items():
            table = Table.grid(padding=(0, 1))
            seconds = f"{time.monotonic() - since:.0f}s"
            last = Text(output[: max(people().width - 60, 20)], "dim", overflow="ellipsis")
            table.add_row("", Spinner("dots"), styled(lane, "cyan"), name, seconds, last)
            yield table


@contextmanager
def _alive(shown: Progress) -> Iterator[None]:
    ended = threading.Event()

    def tell() -> None:
        while not ended.wait(SILENCE):
            if line := shown.alive():
                people().print(line)

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def progress(total: int) -> Iterator[Progress]:
    """Live on a terminal, plain lines elsewhere."""
    shown = Progress(total)
    if not people().is_terminal or people().is_dumb_terminal:
        with _alive(shown):
            yield shown
        return
    from rich.live import Live

    with Live(shown, console=people(), refresh_per_second=8, transient=True):
        yield shown
