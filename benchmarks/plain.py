"""The plain serial shell script that the installer is measured against."""

from collections.abc import Iterator
from dataclasses import replace

from mlops_install import journal
from mlops_install.context import Context
from mlops_install.engine import STATE
from mlops_install.host import HEADER
from mlops_install.resource import AnyResource, differences
from mlops_install.resources.journal import Journal
from mlops_install.resources.packages import Packages
from mlops_install.roles import stages


def script(context: Context) -> str:
    """The steps of a first run one after another, as a person would write them.

    It has the shell text of our own steps, but calls apt once for all packages, and Airflow
    migrates the new database, to which no dump is loaded. Nothing is asked or proved.
    """
    wanted = [r for r in _resources(context) if differences(None, r.desired)]
    scripts = ("\n".join(step.shell() for step in r.change(None)) for r in wanted)
    steps = "\n".join(f"(\nset -e -o pipefail\n{script}\n) </dev/null" for script in scripts)
    return f"{HEADER}{journal.prelude(STATE)}\nset -e\nsteps() {{\n{steps}\n}}\nsteps"


def _resources(context: Context) -> Iterator[AnyResource]:
    # A server that counts as ours already gets no dump; a journal is what an uninstall needs.
    context = replace(context, facts=replace(context.facts, installed="mlops-install"))
    lanes = [lane for stage in stages(context) for lane in stage.lanes]
    found = [r for lane in lanes for r in lane.resources if not isinstance(r, Journal)]
    first, *others = [r for r in found if isinstance(r, Packages)]
    names = (name for packages in (first, *others) for name in packages.names)
    together = replace(first, names=tuple(sorted(names)))
    yield from (together if r is first else r for r in found if r not in others)
