"""The engine: ask everything in one round trip, compare, act, ask again.

A lane is an ordered list of resources that is carried out over one channel; a stage is a set
of lanes that run side by side; stages run in order. That is the whole scheduler.

The steps that a plan shows are the steps that run: they are fixed when the plan is made.
"""

import difflib
import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from mlops_install.errors import ApplyError, HostError
from mlops_install.host import Host
from mlops_install.resource import ABSENT, AnyResource, Difference, Step, differences

TAIL = 20
GROUPS = 4
LOG = "/var/log/mlops/install.log"
RUN_DIR = "/run/mlops-install"


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


@dataclass(frozen=True)
class Event:
    """Something to show while a plan is carried out.

    kind: stage, start, output, done, failed. `text` is the resource's name or a line of output.
    """

    kind: str
    lane: str
    text: str


Watch = Callable[[Event], None]


# --- asking -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What a probe printed, and its exit code."""

    text: str
    code: int
    error: str


def ask(host: Host, scripts: Sequence[str]) -> list[Answer]:
    """Run the read-only scripts in one round trip; the answers come in the same order."""
    if not scripts:
        return []
    token = secrets.token_hex(8)
    result = host.run(_batch(scripts, token))
    found = dict(_frames(result.stdout, token))
    if len(found) != len(scripts):
        raise HostError(
            f"the server answered {len(found)} of {len(scripts)} questions",
            detail=result.stderr[-2000:],
        )
    return [found[number] for number in range(len(scripts))]


def _batch(scripts: Sequence[str], token: str) -> str:
    """One script of all; it asks in a few groups at a time, since most probes wait for a fork."""
    numbered = list(enumerate(scripts))
    number = min(GROUPS, len(scripts))
    groups = [_group(numbered[first::number], token, first) for first in range(number)]
    start = "\n".join(f"(\n{group}\n) > $D/{n} &" for n, group in enumerate(groups))
    return f"D=$(mktemp -d); trap 'rm -rf $D' EXIT\n{start}\nwait\ncat $D/[0-9]"


def _group(numbered: Sequence[tuple[int, str]], token: str, group: int) -> str:
    return "\n".join(
        f"(\n{script}\n) 2>$D/e{group} </dev/null; rc=$?\n"
        f"printf '\\n{token} {number} %d\\n' $rc; [ $rc = 0 ] || tail -c 2000 $D/e{group}\n"
        f"printf '\\n{token}\\n'"
        for number, script in numbered
    )


def _frames(output: str, token: str) -> Iterator[tuple[int, Answer]]:
    parts = output.split(f"\n{token}")
    for text, ended in zip(parts[0::2], parts[1::2], strict=False):
        head, _, error = ended.strip().partition("\n")
        number, code = head.split()
        yield int(number), Answer(text.removeprefix("\n"), int(code), error.strip())


def read(resource: AnyResource, answer: Answer) -> object:
    """The state that an answer tells; None for absent."""
    if answer.code == ABSENT:
        return None
    if answer.code != 0:
        raise HostError(
            f"cannot find out the state of {resource.name} (exit code {answer.code})",
            detail=answer.error,
        )
    return resource.parse(answer.text)


# --- planning -----------------------------------------------------------------------------


def make_plan(host: Host, stages: Sequence[Stage]) -> Plan:
    """Compare everything with what is wanted: one round trip, two when texts differ."""
    resources = [r for stage in stages for lane in stage.lanes for r in lane.resources]
    _refuse_twins(resources)
    answers = ask(host, [resource.probe() for resource in resources])
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


# --- acting -------------------------------------------------------------------------------


def carry_out(host: Host, plan: Plan, watch: Watch) -> None:
    """Carry out a plan: stages in order, the lanes of a stage side by side.

    Raises `ApplyError` at the first resource that fails or is not as wanted afterwards; the
    other lanes of its stage are carried to their end first.
    """
    for name, lanes in plan.stages:
        watch(Event("stage", name, ", ".join(lane.name for lane in lanes)))
        with ThreadPoolExecutor(len(lanes)) as pool:
            running = [pool.submit(LaneRun(host, lane, watch).carry_out) for lane in lanes]
        for future in running:
            future.result()


@dataclass
class LaneRun:
    """One lane at work: the server tells of each resource, and waits for our word to go on."""

    host: Host
    lane: LaneChanges
    watch: Watch
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    tail: list[str] = field(default_factory=list)
    answer: list[str] | None = None
    at: int = 0

    def carry_out(self) -> None:
        """Run the lane to its end. Raises `ApplyError` where it stops before."""
        with self.host.open(self._script()) as session:
            for line in session.lines():
                if self._take(line):
                    session.send("go\n")
        if self.at < len(self.lane.changes):
            self._fail(f"the server stopped at {self._resource.name}")

    @property
    def _resource(self) -> AnyResource:
        return self.lane.changes[self.at].resource

    def _script(self) -> str:
        body = "\n".join(self._one(change) for change in self.lane.changes)
        log = f"mkdir -p {LOG.rpartition('/')[0]}; (umask 077; touch {LOG})"
        busy = f"mkdir -p {RUN_DIR}; exec 9>{RUN_DIR}/busy; flock -s 9"
        return f"{log}\n{busy}\nlane() {{\n{body}\n}}\nlane 2>&1 | tee -p -a {LOG}"

    def _one(self, change: Change) -> str:
        steps = "\n".join(step.shell() for step in change.steps)
        return (
            f"printf '%s start\\n' {self.token}\n"
            f"(\nset -e -o pipefail\n{steps}\n) </dev/null 9>&-; rc=$?\n"
            f"printf '\\n%s steps %d\\n' {self.token} $rc; [ $rc = 0 ] || return\n"
            f"(\n{change.resource.probe()}\n) </dev/null 9>&-; rc=$?\n"
            f"printf '\\n%s end %d\\n' {self.token} $rc; read -r go || return"
        )

    def _take(self, line: str) -> bool:
        """Deal with one line; True when the server may go on to the next resource."""
        if not line.startswith(self.token):
            self._keep(line)
            return False
        word, _, code = line.removeprefix(self.token).strip().partition(" ")
        return {"start": self._start, "steps": self._steps, "end": self._end}[word](code)

    def _keep(self, line: str) -> None:
        if self.answer is not None:
            self.answer.append(line)
        elif line.strip():
            self.tail = [*self.tail[-TAIL + 1 :], line]
            self.watch(Event("output", self.lane.name, line))

    def _start(self, _: str) -> bool:
        self.tail, self.answer = [], None
        self.watch(Event("start", self.lane.name, self._resource.name))
        return False

    def _steps(self, code: str) -> bool:
        self.answer = []
        if code != "0":
            self._fail(f"{self._resource.name} failed (exit code {code})")
        return False

    def _end(self, code: str) -> bool:
        text = "\n".join(self.answer or []).removesuffix("\n")
        current = read(self._resource, Answer(text, int(code), text))
        left = differences(current, self._resource.desired)
        if left:
            words = "; ".join(f"{d.key or 'it'} is {d.old}, wanted {d.new}" for d in left)
            self._fail(f"{self._resource.name} did not come about: {words}")
        self.watch(Event("done", self.lane.name, self._resource.name))
        self.at, self.answer = self.at + 1, None
        return True

    def _fail(self, message: str) -> None:
        self.watch(Event("failed", self.lane.name, self._resource.name))
        why = self._resource.explain()
        lines = [*self.tail, *(self.host.run(why).stdout.splitlines()[-TAIL:] if why else ())]
        fix = f"the whole log is {LOG} on the server; mend the cause and run the same command again"
        raise ApplyError(message, detail="\n".join(lines), fix=fix)
