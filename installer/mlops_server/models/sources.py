"""Where packages may come from: `[models] channels`, judged by every side that meets a lock."""

import re
from collections.abc import Iterable

CONDA_FORGE = "https://conda.anaconda.org/conda-forge/"
DEFAULT = (CONDA_FORGE,)
"""What a server allows that was told nothing."""
FIX = "take it from another channel, or add its channel to [models] channels in mlops.toml"
ADDRESS = re.compile(
    rb"""\burl["']?\s*:\s*["']?([a-zA-Z][a-zA-Z0-9+.-]*://[^\s"',}]+\.(?:conda|tar\.bz2))"""
)


def address(channel: str) -> str:
    """The true address of a channel, by its name or its address, with a slash at its end."""
    named = "://" not in channel
    return f"{'https://conda.anaconda.org/' if named else ''}{channel.rstrip('/')}/"


def refused(urls: Iterable[str], allowed: Iterable[str]) -> str:
    """Why addresses are not used, by the first that is not allowed; empty: all are."""
    starts = tuple(allowed)
    for url in urls:
        if not url.startswith(starts) or _leads_out(url):
            return f"{url} is in none of the channels that [models] channels allows"
    return ""


def _leads_out(url: str) -> bool:
    """Whether a path leaves the channel that it begins with."""
    return bool(re.search(r"/\.{1,2}(/|$)|%2e|\\", url, re.IGNORECASE))


def addresses(lock: bytes) -> list[str]:
    """The addresses of conda packages in a lock's text, quickly: a build reads it in full.

    Wheels are asked for by name, at the index; their addresses lead nowhere.
    """
    return [found.decode(errors="replace") for found in ADDRESS.findall(lock)]
