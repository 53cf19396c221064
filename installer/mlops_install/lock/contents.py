"""What is in a conda-lock.yml: read in full, judged and compared."""

from collections.abc import Iterable, Sequence
from typing import Any

import yaml
from mlops_server.models import locks, reading, sources

from mlops_install.errors import MlopsError
from mlops_install.lock.project import Source
from mlops_install.lock.tools import channel_url

Package = dict[str, Any]
SHOWN = 6


packages = locks.packages


def kept(lock: bytes, without: Iterable[str]) -> tuple[list[Package], bytes]:
    """What of a lock a new one starts from, except some: the conda packages, and a lock of the
    pip packages, empty where there are none.

    Of a package that is listed twice nobody knows which one was meant. Raises `ValueError`.
    """
    found, dropped = packages(lock), set(without)
    double = {name for _, _, name in locks.twice(found)}
    dropped |= {p["name"] for p in found if {p["name"], locks.normal(p["name"])} & double}
    stay = [p for p in found if p["name"] not in dropped]
    pip = [p for p in stay if p["manager"] == "pip"]
    text = yaml.safe_dump(reading.load(lock) | {"package": pip}).encode() if pip else b""
    return [p for p in stay if p["manager"] == "conda"], text


def judge(
    source: Source,
    found: list[Package],
    platforms: Sequence[str],
    allowed: Sequence[str] | None = None,
) -> None:
    """Refuse what the server would refuse, or could not be had safely. Raises `MlopsError`."""
    if flaw := locks.flaw(found, platforms):
        raise MlopsError(f"models/{source.name}: {flaw.text}", fix=flaw.fix)
    known = all("$" not in channel for channel in source.channels)
    channels = tuple(f"{channel_url(channel)}/" for channel in source.channels)
    for package in found:
        name, url = f"{package['name']} {package['version']}", package["url"]
        if package["manager"] == "conda" and known and not url.startswith(channels):
            raise MlopsError(
                f"models/{source.name}: {name} comes from none of the channels asked for: {url}",
                fix="name mirrors in [models] channel_mirrors, not in the files of conda or mamba",
            )
    conda = (package["url"] for package in found if package["manager"] == "conda")
    if allowed is not None and (why := sources.refused(conda, allowed)):
        raise MlopsError(f"models/{source.name}: {why}", fix=sources.FIX)


def changes(old: Iterable[Package], new: Iterable[Package]) -> str:
    """What is different, in one line: `numpy 1.26.4 → 2.1.0, +joblib 1.4.2, -six 1.16.0`."""
    before, after = _versions(old), _versions(new)
    if not before:
        return ""
    words = [
        f"{name} {before[name]} → {after[name]}"
        for name in sorted(before.keys() & after.keys())
        if before[name] != after[name]
    ]
    words += [f"+{name} {after[name]}" for name in sorted(after.keys() - before.keys())]
    words += [f"-{name} {before[name]}" for name in sorted(before.keys() - after.keys())]
    more = [f"{len(words) - SHOWN} more"] if len(words) > SHOWN else []
    return ", ".join(words[:SHOWN] + more)


def _versions(found: Iterable[Package]) -> dict[str, str]:
    return {package["name"]: package["version"] for package in found}
