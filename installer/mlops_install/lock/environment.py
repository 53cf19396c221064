"""environment.yml, with errors of this side."""

from typing import Any

from mlops_server.models import environment as shared
from mlops_server.models.environment import digest, requests

from mlops_install.errors import translated

__all__ = ["digest", "parse", "requests"]


def parse(data: bytes, where: str) -> dict[str, Any]:
    """The file's content, with channels and dependencies that may be locked.

    Raises `ConfigError`.
    """
    with translated():
        return shared.parse(data, where)
