"""Work ends before it fills a disk, on which databases are as well."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlops_server.confined.folder import Yard
from mlops_server.errors import EnvError

LEFT = 1 << 30
"""Bytes that stay free on the disk for others, or half of what there were."""
TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108
LOOKS = 0.5
"""Seconds between two looks at the disk."""


@contextmanager
def watched(folders: list[Path], stop: Callable[[], None]) -> Iterator[threading.Event]:
    """End the work before it fills a disk, on which databases are as well; whether it did."""
    full, ended = threading.Event(), threading.Event()
    least = {folder: min(LEFT, _free(folder) // 2) for folder in folders}

    def watch() -> None:
        while not ended.wait(LOOKS):
            if any(_free(folder) < bytes_left for folder, bytes_left in least.items()):
                full.set()
                with suppress(EnvError):  # whoever waits for its end says so
                    stop()
                return

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield full
    finally:
        ended.set()
        watching.join()


def written(yard: Yard | None) -> list[Path]:
    """Where a unit can write: its /tmp and /var/tmp are its own, but on these disks."""
    temporary = [path for path in TEMPORARY if path.is_dir()]
    return [yard.hidden.parent, *temporary] if yard else temporary  # the yard itself may be gone


def _free(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
