"""Airflow's API server in two slots, so that its restart drops no request.

One slot is enabled and runs. For new inputs the other one is started beside it; once it answers
it is enabled and the old one is disabled, and that moves the traffic: nginx looks for each
request which slot is enabled. The old one ends when its requests have ended.

A slot listens on a socket in a folder that systemd makes for it. On a port of loopback anybody
could listen while it is down, and would be sent passwords.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mlops_install.resource import ABSENT, Made, Resource, Run, Step
from mlops_install.resources.systemd import ENABLED
from mlops_install.shell import sh
from mlops_install.units import NOTHING, STAMPS, Unit, Units, units

SLOTS = {slot: f"/run/airflow-api-server-{slot}/http" for slot in "ab"}
"""Slot -> its socket."""
PORTS = {"a": 8081, "b": 8082}
"""Slot -> its port on 127.0.0.1 under earlier installers."""
ENABLED_B = "/etc/systemd/system/airflow.target.wants/airflow-api-server@b.service"
"""There while slot b is enabled: nginx then asks b first."""
FORMER = "airflow-api-server.service"
READY = "/opt/mlops/bin/api-server-ready"


def unit(slot: str) -> str:
    """The systemd unit of a slot."""
    return f"airflow-api-server@{slot}.service"


def ready(slot: str, workers: int) -> Run:
    """Wait until a slot answers; if it does not, stop it where the other one runs."""
    new, other = unit(slot), unit(_other(slot))
    return Run(
        "begin=$(date +%s)\n"
        f"{sh(READY, new, SLOTS[slot], workers)} || {{\n"
        f"  journalctl --no-pager -n 15 -o cat --since @$begin -u {new}\n"
        f"  ! systemctl is-active -q {other} || {{ {_stop(new)}; }}\n"
        "  exit 1\n}",
        title=f"wait until {new} answers",
    )


def warm(workers: int) -> str:
    """Script: let the workers of what runs make their slow first calls; no answer is no error."""
    lines = (
        f"! systemctl is-active -q {unit(slot)} || {sh(READY, unit(slot), path, workers)} || true"
        for slot, path in SLOTS.items()
    )
    return "\n".join(lines)


@dataclass(frozen=True)
class SlotState:
    """`inputs` is the digest that the running server was started from, empty when not ours."""

    active: bool
    enabled: bool
    inputs: str = ""


@dataclass(frozen=True)
class ApiServerState:
    """The slot in force and the other one. Which one is in force is not compared: both will do."""

    serving: SlotState
    spare: SlotState
    slot: str = field(default="", compare=False)


@dataclass(frozen=True)
class ApiServer(Resource[ApiServerState]):
    """One slot runs from today's `inputs` and is started at boot; the other is off.

    `site` is nginx's file, which comes later: one of an earlier installer asks at ports.
    """

    inputs: str
    workers: int
    site: str

    @property
    def name(self) -> str:
        return "API server"

    @property
    def desired(self) -> ApiServerState:
        return ApiServerState(SlotState(True, True, self.inputs), SlotState(False, False))

    @property
    def units(self) -> tuple[str, ...]:
        """Both units."""
        return tuple(unit(slot) for slot in SLOTS)

    def makes(self) -> tuple[Made, ...]:
        return tuple(Made("unit", name) for name in self.units)

    def probe(self) -> Units:
        return Units(self.units)

    def parse(self, answer: str) -> ApiServerState:
        found = units(answer)
        slots = {slot: _state(found.get(unit(slot), NOTHING)) for slot in SLOTS}
        slot = max(slots, key=lambda name: self._rank(slots[name]))
        return ApiServerState(slots[slot], slots[_other(slot)], slot)

    def _rank(self, state: SlotState) -> tuple[bool, bool, bool]:
        return state.active and state.inputs == self.inputs, state.active, state.enabled

    def change(self, current: ApiServerState | None) -> Iterator[Step]:
        yield Run("systemctl daemon-reload")
        now = current or ApiServerState(SlotState(False, False), SlotState(False, False), "a")
        new = now.slot
        if not now.serving.active:
            # Nothing answers, so there is nothing to wait for; the first run starts all at once.
            yield _start(new)
        elif now.serving.inputs != self.inputs:
            new = _other(now.slot)
            yield _start(new)
        old = unit(_other(new))
        if now.serving.active:
            yield ready(new, self.workers)
            yield _ask_sockets(self.site)
        # Each of the two moves the traffic, whichever comes from b to a or from a to b.
        yield Run(sh("systemctl", "enable", "-q", unit(new)))
        disable = sh("systemctl", "disable", "-q", old)
        yield Run(f"! {sh('systemctl', 'is-enabled', '-q', old)} || {disable}", title=disable)
        if now.serving.active:
            # What nginx has just sent to the old one arrives before that closes its port.
            yield Run(f"sleep 1\n{_stop(old)}", title=f"systemctl stop {old}")

    def explain(self) -> str:
        units = (word for name in self.units for word in ("-u", name))
        return sh("journalctl", "--no-pager", "-n", "15", "-o", "cat", *units)


def _other(slot: str) -> str:
    return next(name for name in SLOTS if name != slot)


def _stop(name: str) -> str:
    """One that was killed, or did not come up, is no failed unit while the other one serves."""
    stop, failed = sh("systemctl", "stop", name), sh("systemctl", "reset-failed", name)
    return f"{stop}; {failed} 2>/dev/null || true"


def _ask_sockets(site: str) -> Run:
    """Nothing where the site asks at the sockets already."""
    moves = [f"s|127.0.0.1:{port} |unix:{SLOTS[slot]} |" for slot, port in PORTS.items()]
    words = [word for move in moves for word in ("-e", move)]
    ports = "|".join(map(str, PORTS.values()))
    there = sh("grep", "-qsE", rf"server 127\.0\.0\.1:({ports}) ", site)
    return Run(
        f"if {there}; then\n  {sh('sed', '-i', *words, site)}\n  systemctl reload nginx\nfi",
        title=f"let {site} ask at the API server's sockets",
    )


def _start(slot: str) -> Run:
    start = sh("systemctl", "restart", unit(slot))
    failed = sh("systemctl", "reset-failed", unit(slot))
    return Run(f"{failed} 2>/dev/null || true\n{start}", title=start)


def _state(found: Unit) -> SlotState:
    # "activating" stands for one that systemd starts again and again: on, and of no use.
    state = found.shown.get("ActiveState", "inactive")
    active = state not in ("inactive", "failed")
    inputs = found.inputs if state == "active" else ""
    return SlotState(active, found.shown.get("UnitFileState", "") in ENABLED, inputs)


@dataclass(frozen=True)
class FormerState:
    """The single unit that there was before the slots; there or not."""

    active: bool


@dataclass(frozen=True)
class Former(Resource[FormerState]):
    """The single API server of earlier installers is gone: the first slot takes over from it.

    nginx gets port 8080 for the tasks, which the former server holds. So that people see no gap,
    the `site` as it is leads to the slot before the former server stops. Tasks ask again.
    """

    site: str
    workers: int

    @property
    def name(self) -> str:
        return f"former unit {FORMER}"

    @property
    def desired(self) -> None:
        return None

    @property
    def _path(self) -> str:
        return f"/etc/systemd/system/{FORMER}"

    def probe(self) -> str:
        return f"[ -e {self._path} ] || exit {ABSENT}\nsystemctl is-active {FORMER} || true"

    def parse(self, answer: str) -> FormerState:
        return FormerState(answer.strip() == "active")

    def change(self, current: FormerState | None) -> Iterator[Step]:
        if current and current.active:
            yield ready("a", self.workers)
            moved = f"s|127.0.0.1:8080;|unix:{SLOTS['a']};|"
            yield Run(f"{sh('sed', '-i', moved, self.site)}\nsystemctl reload nginx\nsleep 1")
        yield Run(sh("systemctl", "disable", "-q", "--now", FORMER))
        yield Run(f"rm -f {self._path} {STAMPS}/{FORMER}.inputs\nsystemctl daemon-reload")
