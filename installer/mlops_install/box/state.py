"""What is stored of boxes: one directory each, with a record that says how far it got."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from mlops_install.box import net, proc
from mlops_install.errors import BoxError

STATE = Path("/var/lib/mlops-box")


@dataclass(frozen=True)
class Box:
    """A test server as it is now; `owner` is the process it dies with, None when it is kept."""

    name: str
    system: str
    address: str
    gateway: str
    identity_file: Path
    known_hosts: Path
    running: bool
    owner: int | None


@dataclass(frozen=True)
class Record:
    """What is stored of a box. `ready` is false until it answered once: else it is half-made.

    `lower` are the folders that it stands on, as overlayfs takes them: the topmost first, with
    colons in between.
    """

    name: str
    system: str
    index: int
    lower: str
    nat: bool
    owner: int | None
    owner_started: str
    ready: bool = False

    @property
    def directory(self) -> Path:
        """Where everything of the box is."""
        return STATE / self.name

    @property
    def layers(self) -> tuple[Path, ...]:
        """The read-only folders that it stands on, the topmost first."""
        return tuple(map(Path, self.lower.split(":")))

    @property
    def link(self) -> net.Link:
        """Its place on the network."""
        return net.Link(self.index)

    @property
    def orphaned(self) -> bool:
        """Whether it should have died with a process that is gone (its number may be reused)."""
        return self.owner is not None and started(self.owner) != self.owner_started

    def box(self) -> Box:
        """The box as users see it."""
        return Box(
            name=self.name,
            system=self.system,
            address=self.link.address,
            gateway=self.link.gateway,
            identity_file=self.directory / "id_ed25519",
            known_hosts=self.directory / "known_hosts",
            running=proc.running(self.name),
            owner=self.owner,
        )


def started(pid: int) -> str:
    """When the process began (boot and clock ticks since), empty when there is none."""
    try:
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + "/" + ticks


def save(record: Record) -> None:
    """Store the record, at once or not at all."""
    aside = record.directory / "box.json.new"
    aside.write_text(json.dumps(asdict(record)))
    aside.rename(record.directory / "box.json")


def load(name: str) -> Record | None:
    """What is stored of the box `name`; None when there is none."""
    try:
        return Record(**json.loads((STATE / name / "box.json").read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:  # cut, or of another version
        raise BoxError(
            f"the record of the box {name} cannot be read: {error}",
            fix=f"remove the folder {STATE / name}, once nothing runs from it",
        ) from error


def records() -> list[Record]:
    """What is stored of all boxes, by name."""
    names = sorted(path.parent.name for path in STATE.glob("*/box.json"))
    return [record for record in map(load, names) if record]


def ssh_config(box: Box) -> str:
    """The Host block of an OpenSSH config file that reaches `box` by its name."""
    return f"""Host {box.name}
  HostName {box.address}
  User root
  Port 22
  IdentityFile {box.identity_file}
  UserKnownHostsFile {box.known_hosts}
  StrictHostKeyChecking yes
  IdentitiesOnly yes
  LogLevel ERROR
"""
