"""Whether what a lock names may be fetched by this server."""

import os
from collections.abc import Iterable

from mlops_server.errors import BadLock
from mlops_server.layout import Layout
from mlops_server.lockfile import Locked
from mlops_server.models import sources
from mlops_server.workflows import config


def judge(layout: Layout, conda: Iterable[Locked], wheels: Iterable[Locked]) -> None:
    """Raise `BadLock` for a package from elsewhere. An index of ours is asked by name."""
    allowed = config.read(layout.workflows_config, layout.protocols).channels
    asked = [*conda, *(() if os.environ.get("UV_DEFAULT_INDEX") else wheels)]
    if why := sources.refused((one.url for one in asked), allowed):
        raise BadLock(why, fix=sources.FIX)
