"""The one folder that a piece of work can write."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlops_server.layout import Layout

SYSTEMD = Path("/run/systemd/system")
TRIES = 100
"""Ten seconds."""
ENGLISH = {"LC_ALL": "C"}


@dataclass(frozen=True)
class Yard:
    """A new folder that one run can write.

    Where systemd builds the walls, it is `hidden` in a folder that only root can enter, and the
    unit sees it as `seen`; else both are the same.
    """

    seen: Path
    hidden: Path


def isolated(layout: Layout | None = None) -> bool:
    """Whether systemd is there to build the walls: on every server. Tests and CI run without."""
    return SYSTEMD.is_dir() and os.geteuid() == 0 and (layout or Layout()) == Layout()


@contextmanager
def yard(layout: Layout, seen: Path) -> Iterator[Yard]:
    """A yard for a run; what is still in it afterwards goes. `seen` stays where it was taken."""
    remove(seen, _closed(seen))
    seen.mkdir(mode=0o755)
    made = Yard(seen, seen)
    try:
        if isolated(layout):
            made = Yard(seen, _closed(seen) / "tree")
            made.hidden.parent.mkdir(mode=0o700)
            made.hidden.mkdir()
            made.hidden.chmod(0o777)  # its user is not known yet; nobody else can reach it
        yield made
    except BaseException:
        remove(seen)
        raise
    finally:
        remove(_closed(seen))


def _closed(seen: Path) -> Path:
    return seen.with_name(f"{seen.name}.new")


def remove(*paths: Path) -> None:
    """Remove what others made: however deep it is, and without following a link.

    Who was at work for a command that was killed ends by itself, and writes until then.
    """
    said = ""
    for _ in range(TRIES):
        found = [str(path) for path in paths if os.path.lexists(path)]
        if not found:
            return
        words = ["/bin/rm", "-rf", "--one-file-system", "--", *found]
        done = subprocess.run(words, env=ENGLISH, capture_output=True, text=True, check=False)
        said = done.stderr
        if "not empty" not in said:
            break
        time.sleep(0.1)
    sys.stderr.write(said)
