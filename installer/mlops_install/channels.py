"""Where environments may come from, as the config says: how addresses of packages may begin."""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mlops_server.models import sources

if TYPE_CHECKING:
    from mlops_install.settings import Config


def allowed(config: "Config") -> tuple[str, ...]:
    """The channels, their mirrors, and for pip sections PyPI and the index."""
    models, index = config.models, config.base.python_index
    named = (*models.channels, *models.channel_mirrors, *models.channel_mirrors.values())
    hosts = [f"{urlsplit(index).scheme}://{urlsplit(index).netloc}/"] if index else []
    return tuple(dict.fromkeys([*map(sources.address, named), *sources.PYPI, *hosts]))
