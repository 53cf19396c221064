"""Which packages may go: those that came with us and that nothing of others needs. Pure."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

QUERY = (
    "dpkg-query -W -f '${Package}\\t${db:Status-Status}\\t${Essential}\\t${Priority}\\t"
    "${Provides}\\t${Pre-Depends}, ${Depends}\\n'"
)
GONE = ("not-installed", "config-files")


@dataclass(frozen=True)
class Package:
    """A package that dpkg knows. `needs`: for each dependency the names that would do."""

    name: str
    status: str
    vital: bool
    provides: tuple[str, ...]
    needs: tuple[tuple[str, ...], ...]


def read_packages(text: str) -> tuple[Package, ...]:
    """The packages in what QUERY printed."""
    return tuple(_package(*line.split("\t")) for line in text.splitlines() if line.strip())


def _package(
    name: str, status: str, essential: str, priority: str, provides: str, depends: str
) -> Package:
    needs = (tuple(_names(group, "|")) for group in depends.split(","))
    return Package(
        name,
        status,
        essential == "yes" or priority == "required",
        tuple(_names(provides, ",")),
        tuple(names for names in needs if names),
    )


def _names(text: str, separator: str) -> Iterator[str]:
    """Names without versions and architectures."""
    for word in text.split(separator):
        name = re.sub(r"[\s:(\[].*", "", word.strip(), flags=re.DOTALL)
        if name:
            yield name


def needed(
    packages: Iterable[Package], ours: Collection[str], roots: Mapping[str, str]
) -> dict[str, str]:
    """Those of ours that must stay -> who needs them.

    Whatever is not ours stays, and so does what it needs where nothing else serves. `roots`
    are packages of ours that must stay for another reason -> the reason.
    """
    there = {p.name: p for p in packages if p.status not in GONE}
    stay = {name: why for name, why in roots.items() if name in there}
    stay |= {name: "Debian cannot do without it" for name in ours if _vital(there, name)}
    serving = _serving(there.values())
    waiting = [p for p in there.values() if p.name not in ours or p.name in stay]
    while waiting:
        package = waiting.pop()
        for names in package.needs:
            found = {name for wanted in names for name in serving.get(wanted, ())}
            if all(name in ours and name not in stay for name in found):
                stay |= dict.fromkeys(found, f"{package.name} needs it")
                waiting += [there[name] for name in found]
    return stay


def _vital(there: Mapping[str, Package], name: str) -> bool:
    return name in there and there[name].vital


def _serving(packages: Iterable[Package]) -> dict[str, set[str]]:
    """Name, also of a virtual package -> the packages that are it."""
    found: dict[str, set[str]] = {}
    for package in packages:
        for name in (package.name, *package.provides):
            found.setdefault(name, set()).add(package.name)
    return found
