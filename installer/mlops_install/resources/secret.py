"""Secrets that are made on the server, once, and never read back."""

from collections.abc import Iterator
from dataclasses import dataclass

from mlops_install.entries import At, entry
from mlops_install.resource import Made, Resource, Run, Step
from mlops_install.resources.file import Access, access
from mlops_install.shell import in_place, sh

MADE = "/var/lib/mlops/made"


@dataclass(frozen=True)
class Secret(Resource[Access]):
    """A file that only root can read, filled once by `command` (shell text on the server)."""

    path: str
    command: str

    @property
    def name(self) -> str:
        return f"secret {self.path}"

    @property
    def desired(self) -> Access:
        return Access("0600", "root", "root")

    def probe(self) -> At:
        return At(self.path)

    def parse(self, answer: str) -> Access | None:
        found = entry(answer)
        return access(found) if found and found.kind == "f" and found.size else None

    def makes(self) -> tuple[Made, ...]:
        return (Made("file", self.path),)

    def change(self, current: Access | None) -> Iterator[Step]:
        if current is None:
            yield Run(self._make(), title=f"make {self.path}")
        path = sh(self.path)
        yield Run(f"chown root:root {path}; chmod 0600 {path}", f"chmod 0600 {self.path}")

    def _make(self) -> str:
        record = sh(f"{MADE}/{self.path.rpartition('/')[2]}")
        new = sh(self.path + ".mlops-new")
        return (
            f"if [ -e {record} ]; then\n"
            f"  echo {sh(self.path)} was made before and is gone, and what it protects needs it\n"
            f"  echo fix: restore it from a backup, or remove {record} to have a new one made\n"
            "  exit 1\nfi\n"
            f"(umask 077; ({self.command}) > {new})\ntest -s {new}\n"
            # On the disk before it has its name, and its name before the record: a power cut must
            # leave no empty secret, and no record of one that is not there.
            f"{in_place(self.path + '.mlops-new', self.path)}\n"
            f"mkdir -p {MADE}; touch {record}"
        )
