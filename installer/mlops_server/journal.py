"""The installer's journal, as far as the server's own programs need it: which paths are ours."""

from dataclasses import dataclass

from mlops_server import jsontext
from mlops_server.errors import EnvError
from mlops_server.layout import Layout

FORMER = frozenset({"/etc/systemd/system/airflow-api-server.service"})
"""What installers made that had no journal, and the present one removes."""
UNITS = "/etc/systemd/system/"


@dataclass(frozen=True)
class Ours:
    """What the installer made: files and links, whole folders, and names of units."""

    paths: frozenset[str]
    trees: tuple[str, ...]
    units: frozenset[str]

    def has(self, path: str) -> bool:
        """Whether an absolute path is ours; all others are somebody else's."""
        return path in self.paths or path.startswith(self.trees) or self._enables(path)

    def _enables(self, path: str) -> bool:
        """Whether it is the link by which a unit of ours is started at boot."""
        folder, _, unit = path.rpartition("/")
        if not (folder.startswith(UNITS) and folder.endswith(".wants")):
            return False
        name, at, rest = unit.partition("@")
        template = f"{name}@.{rest.rpartition('.')[2]}" if at else unit
        return unit in self.units or f"{UNITS}{template}" in self.paths


def read(layout: Layout) -> Ours:
    """Read the journal; a line that a power cut tore made nothing yet. Raises `EnvError`."""
    try:
        text = layout.journal.read_text(errors="replace")
    except FileNotFoundError:
        fix = "run `mlops-install apply` once: it notes what is there"
        raise EnvError(f"{layout.journal} is missing", fix=fix) from None
    made: dict[str, set[str]] = {}
    for line in text.splitlines():
        try:
            entry = jsontext.loads(line)
            made.setdefault(entry["kind"], set()).add(entry["name"])
        except (ValueError, TypeError, KeyError):
            continue
    paths = {*made.get("file", ()), *made.get("link", ()), *FORMER}
    trees = tuple(f"{name}/" for name in sorted(made.get("tree", ())))
    return Ours(frozenset(paths), trees, frozenset(made.get("unit", ())))
