"""Planning: what is there against what is wanted, and the steps from one to the other.

A lane is an ordered list of resources that is carried out over one channel; a stage is a set
of lanes that run side by side; stages run in order. The steps that a plan shows are the steps
that run: they are fixed when the plan is made.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from mlops_install.answer import Answer
from mlops_install.host import Host
from mlops_install.probe import ask, read, states
from mlops_install.resource import AnyResource, Difference, Step, differences


@dataclass(frozen=True)
class Lane:
    """Resources that are carried out one after another."""

    name: str
    resources: tuple[AnyResource, ...]


@dataclass(frozen=True)
class Stage:
    """Lanes that may run side by side."""

    name: str
    lanes: tuple[Lane, ...]


@dataclass(frozen=True)
class Change:
    """A resource that is not as wanted, and what will be done about it."""

    resource: AnyResource
    differences: tuple[Difference, ...]
    steps: tuple[Step, ...]
    text: str = ""
    """Unified diff for people; empty when there is no text to compare."""


@dataclass(frozen=True)
class LaneChanges:
    """What will be done in one lane."""

    name: str
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Plan:
    """Per stage the lanes with something to do; `checked` counts all resources asked."""

    stages: tuple[tuple[str, tuple[LaneChanges, ...]], ...]
    checked: int

    @property
    def changes(self) -> tuple[Change, ...]:
        """All changes, in order."""
        return tuple(c for _, lanes in self.stages for lane in lanes for c in lane.changes)


def split(plan: Plan, stage: str) -> tuple[Plan, Plan]:
    """The stages before the one of this name, and the rest. All of it counts as checked."""
    at = next((n for n, (name, _) in enumerate(plan.stages) if name == stage), len(plan.stages))
    return Plan(plan.stages[:at], plan.checked), Plan(plan.stages[at:], plan.checked)


def make_plan(host: Host, stages: Sequence[Stage]) -> Plan:
    """Compare everything with what is wanted: one round trip, two when texts differ."""
    resources = [r for stage in stages for lane in stage.lanes for r in lane.resources]
    _refuse_twins(resources)
    answers = states(host, resources)
    changes = [_change(r, a) for r, a in zip(resources, answers, strict=True)]
    changes = _with_texts(host, changes)
    found = {c.resource.name: c for c in changes if c}
    return Plan(tuple((s.name, _lanes(s, found)) for s in stages if _lanes(s, found)), len(answers))


def _refuse_twins(resources: Sequence[AnyResource]) -> None:
    names = [resource.name for resource in resources]
    twins = {name for name in names if names.count(name) > 1}
    if twins:
        raise ValueError(f"two resources of one name: {', '.join(sorted(twins))}")


def _lanes(stage: Stage, found: dict[str, Change]) -> tuple[LaneChanges, ...]:
    lanes = (
        LaneChanges(lane.name, tuple(found[r.name] for r in lane.resources if r.name in found))
        for lane in stage.lanes
    )
    return tuple(lane for lane in lanes if lane.changes)


def _change(resource: AnyResource, answer: Answer) -> Change | None:
    current = read(resource, answer)
    found = differences(current, resource.desired)
    if not found:
        return None
    return Change(resource, found, tuple(resource.change(current)))


def _with_texts(host: Host, changes: Sequence[Change | None]) -> list[Change | None]:
    texts = {c.resource.name: c.resource for c in changes if c and c.resource.look()}
    answers = ask(host, [resource.look() for resource in texts.values()])
    old = dict(zip(texts, answers, strict=True))
    return [
        c and (_with_text(c, old[c.resource.name].text) if c.resource.name in old else c)
        for c in changes
    ]


def _with_text(change: Change, old: str) -> Change:
    lines = difflib.unified_diff(
        old.splitlines(), change.resource.wanted_text().splitlines(), "now", "wanted", "", "", 2, ""
    )
    return Change(change.resource, change.differences, change.steps, "\n".join(lines))
