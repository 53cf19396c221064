"""conda-lock.yml in full: judged by the side that makes it, and by the one that builds from it."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from mlops_server.errors import Flaw
from mlops_server.models import reading

Package = dict[str, Any]
RELOCK = "`mlops-install lock` makes the lock anew"
TEXTS = ("name", "version", "platform", "url")
MANAGERS = ("conda", "pip")
SHA256 = re.compile(r"[0-9a-f]{64}")
MAIN = "main"


def packages(lock: bytes) -> list[Package]:
    """The packages of a lock, each of which has what a package has. Raises `ValueError`."""
    found = reading.load(lock)
    listed = found.get("package") if isinstance(found, dict) else None
    if not isinstance(listed, list):
        raise ValueError("it is not a conda-lock.yml: it has no list of packages")
    for number, one in enumerate(listed, 1):
        if problem := _shape(one):
            raise ValueError(f"package {number}: {problem}")
    return listed


def _shape(one: object) -> str:
    if not isinstance(one, dict):
        return "it is no package"
    for key in TEXTS:
        if not isinstance(one.get(key), str) or not one[key]:
            return f"{one.get('name') or 'it'} has no {key}"
    if one.get("manager") not in MANAGERS:
        return f"{one['name']} is neither conda's nor pip's"
    kinds = {"hash": dict, "dependencies": dict, "category": str}
    wrong = [key for key, kind in kinds.items() if not isinstance(one.get(key, kind()), kind)]
    return f"{one['name']}: {wrong[0]} is not as conda-lock writes it" if wrong else ""


def reason(lock: bytes, platforms: Sequence[str]) -> str:
    """Why a lock cannot be built; empty: it can."""
    try:
        found = flaw(packages(lock), platforms)
    except ValueError as error:
        return f"conda-lock.yml cannot be read: {error}"
    return f"conda-lock.yml: {found.text}" if found else ""


def flaw(found: Iterable[Package], platforms: Sequence[str]) -> Flaw | None:
    """The first thing that keeps a lock from being built for each of some platforms."""
    listed = [one for one in found if one.get("category", MAIN) == MAIN]
    for one in listed:
        if problem := _unsafe(one):
            return problem
    if double := twice(listed):
        return Flaw(f"{double[0][2]} is in the lock twice for {double[0][0]}", RELOCK)
    for platform in platforms:
        here = {one["name"] for one in listed if one["platform"] == platform}
        if not here:
            others = ", ".join(sorted({one["platform"] for one in listed})) or "nothing"
            fix = f"`mlops-install lock`, with {platform} among the platforms"
            return Flaw(f"the lock is for {others}, and not for {platform}", fix)
        if "python" not in here:
            return Flaw("the lock has no python", f"add it to environment.yml; {RELOCK}")
    return None


def _unsafe(one: Package) -> Flaw | None:
    """Why one package cannot be had safely."""
    name, url = f"{one['name']} {one['version']}", one["url"]
    if not SHA256.fullmatch(str(one.get("hash", {}).get("sha256"))):
        return Flaw(
            f"{name} has no SHA-256 in the lock, so it cannot be checked: {url}",
            "take another version, or a channel or index that has hashes",
        )
    if not url.startswith(("https://", "http://")):
        return Flaw(
            f"{name} comes from {url}, and only downloads are checked against the lock",
            "name a channel or an index by http(s), then `mlops-install lock`",
        )
    if re.match(r"https?://[^/?#]*@", url):
        return Flaw(
            f"the address of {name} would hold a login",
            "set the login in mlops.toml, not in an address",
        )
    return None if one["manager"] == "conda" else unbuilt(name, url)


def unbuilt(name: str, url: str) -> Flaw | None:
    """Why a Python package is not installed: only wheels are."""
    if url.partition("#")[0].endswith(".whl"):
        return None
    return Flaw(
        f"{name} has no wheel for the server, and nothing is built from source here",
        "ask for a version with a wheel, or take it from conda-forge",
    )


def twice(found: Iterable[Package]) -> list[tuple[str, str, str]]:
    """Platform, manager and name of what is listed more than once, as a merge may leave it."""
    keys = ((p["platform"], p["manager"], _known_as(p)) for p in found)
    return [key for key, count in Counter(keys).items() if count > 1]


def _known_as(one: Package) -> str:
    return normal(one["name"]) if one["manager"] == "pip" else str(one["name"])


def normal(name: str) -> str:
    """How Python packages are compared by name."""
    return re.sub(r"[-_.]+", "-", name).lower()
