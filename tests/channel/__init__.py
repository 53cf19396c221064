"""The tests' own conda channel: real packages on this machine, served as a mirror of conda-forge.

with serve(build()) as server:
    rattler_config(server.url)  # sends https://conda.anaconda.org/conda-forge there
"""

from channel.interpreter import UnavailableError
from channel.make import Channel, build, unavailable
from channel.web import CONDA_FORGE, Request, Server, rattler_config, serve

__all__ = [
    "CONDA_FORGE",
    "Channel",
    "Request",
    "Server",
    "UnavailableError",
    "build",
    "rattler_config",
    "serve",
    "unavailable",
]
