"""The engine: carry out a plan, and ask again after each change.

The fresh probe is the only proof that a change came about; exit codes are not.
"""

import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from mlops_install import journal
from mlops_install.answer import Answer, understood
from mlops_install.errors import ApplyError
from mlops_install.host import Host
from mlops_install.plan import Change, LaneChanges, Plan
from mlops_install.probe import read, script
from mlops_install.resource import AnyResource, Made, differences
from mlops_install.shell import sh

TAIL = 20
LOG = "/var/log/mlops/install.log"
RUN_DIR = "/run/mlops-install"
LEASE = 60
"""Seconds after which an installer that says nothing counts as gone."""
STATE = journal.STATE
# Our lock may have been lost with its process or connection, and somebody else may be at work.
LOCKED = """
[ "$(cat {holder})" = {us} ] || {{
  echo "mlops: the run lock was lost to $(cat {holder})" >&2
  exit 1
}}"""


def private(folder: str) -> str:
    """Script: make the folder of our locks: who may open a file may lock it, and keep us out."""
    return f"mkdir -p {folder}; chmod 700 {folder}"


def busy(holder: str) -> str:
    """Script: from here on the next run and the guard wait for this one.

    Ends here when the run lock is no longer with `holder`, where that is not empty.
    """
    text = f"{private(RUN_DIR)}; exec 9>>{RUN_DIR}/busy; flock -s 9"
    us = sh(holder)
    return text + (LOCKED.format(holder=f"{RUN_DIR}/holder", us=us) if holder else "")


@dataclass(frozen=True)
class Event:
    """Something to show while a plan is carried out.

    kind: stage, start, output, done, failed. `text` is the resource's name or a line of output.
    """

    kind: str
    lane: str
    text: str


Watch = Callable[[Event], None]


def carry_out(host: Host, plan: Plan, watch: Watch, holder: str = "") -> None:
    """Carry out a plan: stages in order, the lanes of a stage side by side.

    `holder` is who holds the run lock, as `runlock.held` gives it: a lane that finds another one
    on the server does not begin.

    Raises `ApplyError` at the first resource that fails or is not as wanted afterwards; the
    other lanes of its stage are carried to their end first.
    """
    for name, lanes in plan.stages:
        watch(Event("stage", name, ", ".join(lane.name for lane in lanes)))
        with ThreadPoolExecutor(len(lanes)) as pool:
            running = [pool.submit(LaneRun(host, lane, watch, holder).carry_out) for lane in lanes]
        for future in running:
            future.result()


@dataclass
class LaneRun:
    """One lane at work: the server tells of each resource, and waits for our word to go on."""

    host: Host
    lane: LaneChanges
    watch: Watch
    holder: str = ""
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
        folder = LOG.rpartition("/")[0]
        first = journal.prelude(STATE) + journal.notes([Made("tree", folder)])
        log = f"mkdir -p {folder}; (umask 077; touch {LOG})"
        begin = f"exec 2>&1\n{first}\n{log}\n{busy(self.holder)}"
        return f"{begin}\nlane() {{\n{body}\n}}\nlane | tee -p -a {LOG}"

    def _one(self, change: Change) -> str:
        notes = journal.notes(change.resource.makes())
        steps = "\n".join([notes, *(step.shell() for step in change.steps)])
        return (
            f"printf '%s start\\n' {self.token}\n"
            f"(\nset -e -o pipefail\n{steps}\n) </dev/null 9>&-; rc=$?\n"
            f"printf '\\n%s steps %d\\n' {self.token} $rc; [ $rc = 0 ] || return\n"
            f"(\n{script(change.resource)}\n) </dev/null 9>&-; rc=$?\n"
            f"printf '\\n%s end %d\\n' {self.token} $rc; read -r -t {LEASE} go || return"
        )

    def _take(self, line: str) -> bool:
        """Deal with one line; True when the server may go on to the next resource."""
        if not line.startswith(self.token):
            self._keep(line)
            return False
        word, _, code = line.removeprefix(self.token).strip().partition(" ")
        with understood("how it goes on", line):
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
            self._fail(f"{self._resource.name} is still not as wanted: {words}")
        self.watch(Event("done", self.lane.name, self._resource.name))
        self.at, self.answer = self.at + 1, None
        return True

    def _fail(self, message: str) -> None:
        self.watch(Event("failed", self.lane.name, self._resource.name))
        why = self._resource.explain()
        lines = [*self.tail, *(self.host.run(why).stdout.splitlines()[-TAIL:] if why else ())]
        told = [line.removeprefix("fix: ") for line in lines if line.startswith("fix: ")]
        cause = told[-1] if told else "correct what the lines above tell"
        fix = f"{cause}; then run the same command again; the whole log is {LOG} on the server"
        detail = "\n".join(line for line in lines if not line.startswith("fix: "))
        raise ApplyError(message, detail=detail, fix=fix)
