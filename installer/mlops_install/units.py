"""What systemd says of units. One process asks for all of them: for each it would cost ten."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

from mlops_install.answer import ABSENT, Answer
from mlops_install.shell import sh

STAMPS = "/run/mlops-install"
"""Where each unit of ours notes the digest of the inputs that it was started from."""
PROPERTIES = ("Id", "LoadState", "ActiveState", "SubState", "UnitFileState", "NeedDaemonReload")


@dataclass(frozen=True)
class Units:
    """The question after these units, and after all that match `pattern`."""

    names: tuple[str, ...]
    pattern: str = ""

    def shell(self) -> str:
        """The question alone, as shell text."""
        return script([self])

    def has(self, unit: str) -> bool:
        """Whether it asks for this unit."""
        return unit in self.names or bool(self.pattern and fnmatch(unit, self.pattern))


def script(questions: Sequence[Units]) -> str:
    """Shell text that answers all of them: stamps, what is wanted at boot, and systemd's word."""
    if not questions:
        return "true"
    patterns = dict.fromkeys(q.pattern for q in questions if q.pattern)
    wants = " ".join(f"/etc/systemd/system/*.wants/{pattern}" for pattern in patterns)
    units = sh(*dict.fromkeys(name for q in questions for name in q.names), *patterns)
    return (
        f"[ -d /run/systemd/system ] || exit {ABSENT}\n"
        f"for f in {STAMPS}/*.inputs; do\n"
        '  i=; [ ! -r "$f" ] || { read -r i < "$f"; f=${f##*/}; echo "inputs ${f%.inputs} $i"; }\n'
        "done\n"
        f'for f in {wants}; do [ ! -L "$f" ] || echo "wanted ${{f##*/}}"; done\n'
        f"systemctl show -p {','.join(PROPERTIES)} {units}"
    )


def answers(questions: Sequence[Units], reply: Answer) -> list[Answer]:
    """The reply to each question: all of it, for what is said of other units is no harm."""
    return [reply] * len(questions)


@dataclass(frozen=True)
class Unit:
    """A unit: the digest that it was started from, whether a boot starts it, systemd's word."""

    inputs: str
    wanted: bool
    shown: Mapping[str, str]

    @property
    def there(self) -> bool:
        """Whether it does something, did and failed, or will at the next boot."""
        return self.wanted or self.shown.get("ActiveState", "inactive") != "inactive"


NOTHING = Unit("", False, {})


def units(answer: str) -> dict[str, Unit]:
    """What the answer says, by the units' names."""
    blocks = [properties(block) for block in answer.split("\n\n")]
    shown = {block["Id"]: block for block in blocks if "Id" in block}
    words = [line.split(" ") for line in answer.splitlines()]
    inputs = {w[1]: w[2] for w in words if w[0] == "inputs" and len(w) == 3}
    wanted = {w[1] for w in words if w[0] == "wanted" and len(w) == 2}
    return {
        name: Unit(inputs.get(name, ""), name in wanted, shown.get(name, {}))
        for name in {*inputs, *wanted, *shown}
    }


def properties(block: str) -> dict[str, str]:
    """Name -> value in what `systemctl show` prints of one unit."""
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
