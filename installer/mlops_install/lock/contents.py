"""What is in a conda-lock.yml: read in full, judged and compared."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import yaml

from mlops_install.errors import MlopsError
from mlops_install.lock.environment import Loader
from mlops_install.lock.project import Source
from mlops_install.lock.tools import channel_url

Package = Mapping[str, Any]
SHOWN = 6


def packages(lock: bytes) -> list[Package]:
    """The packages of a lock, as they are written. Raises `ValueError`."""
    return list(_content(lock)["package"])


def _content(lock: bytes) -> dict[str, Any]:
    try:
        found = yaml.load(lock, Loader=Loader)  # noqa: S506 - the C twin of the safe loader
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    if not isinstance(found, dict) or not isinstance(found.get("package"), list):
        raise ValueError("it is not a conda-lock.yml")
    return found


def pip_only(lock: bytes, without: Iterable[str]) -> bytes:
    """A lock of its pip packages, except some; empty where there are none. Raises `ValueError`."""
    found, dropped = _content(lock), set(without)
    kept = [p for p in found["package"] if p["manager"] == "pip" and p["name"] not in dropped]
    return yaml.safe_dump(found | {"package": kept}).encode() if kept else b""


def judge(source: Source, found: Iterable[Package]) -> None:
    """Refuse what could not be installed safely. Raises `MlopsError`."""
    known = all("$" not in channel for channel in source.channels)
    channels = tuple(f"{channel_url(channel)}/" for channel in source.channels)
    for package in found:
        name, url = f"{package['name']} {package['version']}", package["url"]
        if not package["hash"].get("sha256"):
            raise MlopsError(
                f"models/{source.name}: {name} has no SHA-256 in its channel or index: {url}",
                fix="take another version, or a channel or index that has hashes",
            )
        if "@" in urlsplit(url).netloc:
            raise MlopsError(
                f"models/{source.name}: the address of {name} would hold a login",
                fix="set the login in mlops.toml, not in an address",
            )
        if package["manager"] == "conda" and known and not url.startswith(channels):
            raise MlopsError(
                f"models/{source.name}: {name} comes from none of the channels asked for: {url}",
                fix="mirrors belong into [models] channel_mirrors, not into the solver's own files",
            )


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
