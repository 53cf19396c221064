"""The guard of upgrades: units that go back when an upgrade of Airflow is broken off."""

from collections.abc import Iterator

from mlops_install.context import Context
from mlops_install.render import render
from mlops_install.resource import AnyResource
from mlops_install.resources.file import Directory, Link
from mlops_install.resources.systemd import UnitFile

UNITS = ("mlops-upgrade-guard.service", "mlops-upgrade-recover.service")
SYSTEM = "/etc/systemd/system"


def guard(_: Context) -> Iterator[AnyResource]:
    """Both units wait for the state of an open upgrade; they rest at all other times."""
    yield Directory("/var/lib/mlops/upgrade", 0o700)
    for unit in UNITS:
        yield UnitFile(f"{SYSTEM}/{unit}", render(f"upgrade/{unit}"))
        yield Link(f"{SYSTEM}/multi-user.target.wants/{unit}", f"{SYSTEM}/{unit}")
