"""What a resource is: one thing on the server, described as a value.

A resource is pure. It says what it wants (`desired`), which read-only shell asks for the
present state (`probe`), how to read the answer (`parse`) and which steps lead from there to
what is wanted (`change`). It never talks to a server: the engine does.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Generic, TypeVar

from mlops_install.answer import ABSENT as ABSENT
from mlops_install.entries import At
from mlops_install.shell import as_user, here, in_place, sh
from mlops_install.sql import Query
from mlops_install.units import Units

Question = str | At | Units | Query

S = TypeVar("S")


@dataclass(frozen=True)
class Run:
    """Run shell text as root; `title` is its line in the plan."""

    script: str
    title: str = ""

    def line(self) -> str:
        """The step as one line of the plan."""
        return "$ " + (self.title or self.script.strip().splitlines()[0])

    def shell(self) -> str:
        """The step as shell text."""
        return self.script


@dataclass(frozen=True)
class Put:
    """Write a file in one rename: a reader, or who comes after a power cut, sees the old one or
    the new one.

    Who owns the file writes it: the folder may be theirs, and root follows no link of theirs.
    """

    path: str
    content: bytes
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"

    def line(self) -> str:
        """The step as one line of the plan."""
        return f"write {self.path} ({len(self.content)} bytes, {self.mode:04o} {self.owner})"

    def shell(self) -> str:
        """The step as shell text."""
        new = self.path + ".mlops-new"
        fresh = (
            f"{sh('mkdir', '-p', self.path.rpartition('/')[0])}\n"
            f"(umask 077; {sh('rm', '-f', new)}; cat > {sh(new)})"
        )
        rights = f"{sh('chmod', f'{self.mode:04o}', new)}\n{in_place(new, self.path)}"
        if self.owner == "root":
            owned = sh("chown", f"root:{self.group}", new)
            return f"{fresh} < <({here(self.content)})\n{owned}\n{rights}"
        script = f"set -e\n{fresh}\n{sh('chgrp', self.group, new)}\n{rights}"
        return f"{as_user(self.owner, 'bash', '-c', script)} < <({here(self.content)})"


Step = Run | Put


@dataclass(frozen=True)
class Made:
    """Something that a resource brings onto the server, noted in the journal before it is there.

    kind: file, link, directory (others may put things into it), tree (all that is in it is ours),
    user, group, unit, cluster, role, database, locale, authorities.
    """

    kind: str
    name: str


class Resource(ABC, Generic[S]):
    """One thing on the server. `S` is a frozen dataclass of plain values."""

    @property
    @abstractmethod
    def name(self) -> str:
        """How the plan calls it, such as `file /etc/mlops/airflow.cfg`."""

    @property
    @abstractmethod
    def desired(self) -> S | None:
        """What is wanted; None when it shall not be there."""

    @abstractmethod
    def probe(self) -> Question:
        """Read-only shell text that prints the present state, or exits with `ABSENT`.

        Or one of the questions that are asked together for the whole plan.
        """

    @abstractmethod
    def parse(self, answer: str) -> S | None:
        """The state in what the probe printed."""

    @abstractmethod
    def change(self, current: S | None) -> Iterator[Step]:
        """The steps that lead from `current` to `desired`."""

    def makes(self) -> tuple[Made, ...]:
        """What `change` brings onto the server and an uninstall takes away again."""
        return ()

    def look(self) -> str:
        """Shell text that prints the present text, for a person to compare; empty for none."""
        return ""

    def wanted_text(self) -> str:
        """The wanted text that stands against what `look` printed."""
        return ""

    def explain(self) -> str:
        """Shell text that prints why it did not come about, such as a journal's last lines."""
        return ""


AnyResource = Resource[Any]


@dataclass(frozen=True)
class Difference:
    """One value that is not as wanted."""

    key: str
    old: str
    new: str


def differences(current: object, desired: object) -> tuple[Difference, ...]:
    """What differs between two states of the same type; None stands for absent."""
    if current == desired:
        return ()
    if current is None or desired is None:
        word = {True: "absent", False: "present"}
        return (Difference("", word[current is None], word[desired is None]),)
    old, new = _flat(current), _flat(desired)
    return tuple(
        Difference(key, old.get(key, "absent"), new.get(key, "absent"))
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    )


def _flat(value: object, prefix: str = "") -> dict[str, str]:
    children = _children(value)
    if children is None:
        return {prefix: _word(value)}
    flat: dict[str, str] = {}
    for key, child in children.items():
        flat |= _flat(child, f"{prefix}.{key}" if prefix else key)
    return flat


def _children(value: object) -> dict[str, object] | None:
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value) if field.compare}
    if isinstance(value, Mapping):
        return {str(key): child for key, child in value.items()}
    return None


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value) or "none"
