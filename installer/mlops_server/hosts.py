"""Whether what a lock names may be fetched by this server."""

from collections.abc import Iterable

from mlops_server.errors import BadLock
from mlops_server.layout import Layout
from mlops_server.lockfile import Locked
from mlops_server.models import sources
from mlops_server.workflows import config


def judge(layout: Layout, conda: Iterable[Locked]) -> None:
    """Raise `BadLock` for a package from elsewhere. Wheels are asked for by name, at the index."""
    allowed = config.read(layout.workflows_config, layout.protocols).channels
    if why := sources.refused((one.url for one in conda), allowed):
        raise BadLock(why, fix=sources.FIX)
