"""Frozen boxes: the disk of a stopped one, read-only, on which copies of it stand."""

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

from mlops_install.box.state import STATE, Record, started
from mlops_install.errors import BoxError

IMAGES = STATE / ".images"


@dataclass(frozen=True)
class Image:
    """What is stored of a frozen box; it goes with the process `owner`."""

    name: str
    system: str
    lower: str
    owner: int
    owner_started: str

    @property
    def directory(self) -> Path:
        """Where everything of it is."""
        return IMAGES / self.name

    @property
    def below(self) -> tuple[Path, ...]:
        """The folders that it stands on itself, the topmost first."""
        return tuple(map(Path, self.lower.split(":")))

    def unused(self, used: Collection[Path]) -> bool:
        """Whether its owner is gone and it is not among the folders that others stand on."""
        orphaned = started(self.owner) != self.owner_started
        return orphaned and self.directory / "upper" not in used


def keep(record: Record, owner: int) -> None:
    """Take the disk of a box that does not run; only the record makes it an image."""
    made = Image(record.name, record.system, record.lower, owner, started(owner))
    made.directory.mkdir(parents=True)
    (record.directory / "upper").rename(made.directory / "upper")
    (made.directory / "image.json").write_text(json.dumps(asdict(made)))


def images() -> list[Image]:
    """All frozen boxes, by name."""
    found = sorted(IMAGES.glob("*/image.json"))
    return [Image(**json.loads(path.read_text())) for path in found]


def layers(name: str, system: str) -> str:
    """What a copy of the frozen box stands on, as overlayfs takes it."""
    for found in images():
        if (found.name, found.system) == (name, system):
            return f"{found.directory}/upper:{found.lower}"
    raise BoxError(f"no {system} box was frozen as {name!r}", fix="freeze it again")
