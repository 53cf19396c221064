"""Where environments may come from, as the config says: how addresses of packages may begin."""

from typing import TYPE_CHECKING

from mlops_server.models import sources

if TYPE_CHECKING:
    from mlops_install.settings import Config


def allowed(config: "Config") -> tuple[str, ...]:
    """The channels and their mirrors."""
    models = config.models
    named = (*models.channels, *models.channel_mirrors, *models.channel_mirrors.values())
    return tuple(dict.fromkeys(map(sources.address, named)))
