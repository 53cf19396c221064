"""Services of systemd.

A service is current when it was started from today's inputs. Every unit of ours (and drop-in
for Debian's) carries `Environment=MLOPS_INPUTS=<digest>` and an ExecStartPost that notes it
under /run/mlops-install; so a crash between a written file and the restart heals by itself.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mlops_install.resource import Made, Resource, Run, Step
from mlops_install.resources.file import File, FileState
from mlops_install.shell import sh
from mlops_install.units import NOTHING, STAMPS, Unit, Units, units

NOTE = f"ExecStartPost=+/bin/sh -c 'mkdir -p {STAMPS}; echo \"$MLOPS_INPUTS\" > {STAMPS}/%n.inputs'"
ENABLED = {"enabled", "enabled-runtime", "static", "generated", "indirect", "alias"}


class UnitFile(File):
    """A unit or drop-in, which systemd reads again at once: its services may be right already.

    One of which systemd has nothing in memory is read when it is first needed.
    """

    def change(self, current: FileState | None) -> Iterator[Step]:
        yield from super().change(current)
        *_, folder, name = self.path.split("/")
        unit = folder.removesuffix(".d") if folder.endswith(".d") else name
        listing = sh("systemctl", "list-units", "--all", "--plain", "--no-legend",
                     unit.replace("@.", "@*."))  # fmt: skip
        reload = "systemctl daemon-reload"
        yield Run(f'if [ -n "$({listing})" ]; then {reload}; fi', title=reload)


@dataclass(frozen=True)
class UnitState:
    """`inputs` is the digest that the running service was started from, empty when not ours."""

    active: bool
    enabled: bool
    inputs: str = ""
    reloaded: bool = True


@dataclass(frozen=True)
class ServicesState:
    """Unit name -> its state."""

    units: Mapping[str, UnitState]


@dataclass(frozen=True)
class Services(Resource[ServicesState]):
    """Services that run, are started at boot, and run from today's inputs.

    `units`: unit name -> digest of inputs ("" when it does not matter). With `pattern` the
    resource owns all units that match: those not named are stopped and disabled, all at once.
    With `reload` those that run take new inputs by `systemctl reload`; it must note them, and
    fail when they did not come into force. `ready` is a program that waits until the unit that it
    is given is at work: of units that are restarted in turn, the next one only then.
    """

    title: str
    units: Mapping[str, str]
    pattern: str = ""
    reload: bool = False
    ready: str = ""

    @property
    def name(self) -> str:
        return f"services {self.title}"

    @property
    def desired(self) -> ServicesState:
        return ServicesState({u: UnitState(True, True, i) for u, i in self.units.items()})

    def probe(self) -> Units:
        return Units(tuple(self.units), self.pattern)

    def parse(self, answer: str) -> ServicesState:
        found, asked = units(answer), self.probe()
        more = sorted(name for name in found if asked.has(name) and found[name].there)
        names = dict.fromkeys((*self.units, *more))
        return ServicesState({name: self._state(name, found.get(name, NOTHING)) for name in names})

    def _state(self, name: str, unit: Unit) -> UnitState:
        shown = unit.shown
        active = shown.get("ActiveState") in ("active", "reloading")
        # A timer that has nothing to come still calls itself active, until it is restarted.
        active = active and not (name.endswith(".timer") and shown.get("SubState") == "elapsed")
        return UnitState(
            active,
            unit.wanted or shown.get("UnitFileState", "") in ENABLED,
            unit.inputs if active and self.units.get(name, "?") else "",
            shown.get("NeedDaemonReload") != "yes",
        )

    def makes(self) -> tuple[Made, ...]:
        return tuple(Made("unit", unit) for unit in self.units)

    def change(self, current: ServicesState | None) -> Iterator[Step]:
        now = current.units if current else {}
        if unwanted := sorted(now.keys() - self.units.keys()):
            yield Run("systemctl daemon-reload")
            yield Run(sh("systemctl", "disable", "--now", *unwanted))
        if disabled := [u for u in self.units if not (u in now and now[u].enabled)]:
            # A package may have enabled its own by now; doing so again costs Debian's a second.
            # Asked to enable without a reload, systemd calls every unit outdated, also those that
            # another lane looks at; with --root systemctl makes the links without asking it.
            enable = sh("systemctl", "enable", "-q", *disabled)
            yield Run(
                f"for u in {sh(*disabled)}; do\n"
                '  systemctl is-enabled -q "$u" || systemctl --root=/ enable -q "$u"\ndone',
                title=enable,
            )
        yield Run("systemctl daemon-reload")
        down = [u for u in self.units if not (u in now and now[u].active)]
        # What apt started since the plan was made runs from older inputs: only restart helps.
        stale = [
            u
            for u, i in self.units.items()
            if (i and (u in down or now[u].inputs != i)) or (u in down and u.endswith(".timer"))
        ]
        yield from self._start("restart", [unit for unit in stale if unit in down])
        yield from self._in_turn([unit for unit in stale if unit not in down])
        # Those that ran may have lost what they need since, and wait for their next try.
        yield from self._start("start", [unit for unit in self.units if unit not in stale])

    def _in_turn(self, units: list[str]) -> Iterator[Step]:
        for number, unit in enumerate(units, 1):
            yield Run(sh("systemctl", "reload" if self.reload else "restart", unit))
            if self.ready and number < len(units):
                yield Run(sh(self.ready, unit))

    def _start(self, verb: str, units: list[str]) -> Iterator[Step]:
        if units:
            start = sh("systemctl", verb, *units)
            failed = sh("systemctl", "reset-failed", *units)
            yield Run(f"{failed} 2>/dev/null || true\n{start}", title=start)

    def explain(self) -> str:
        units = (word for unit in self.units for word in ("-u", unit))
        return sh("journalctl", "--no-pager", "-n", "15", "-o", "cat", *units)
