"""What goes and what stays, and in which order. Pure: from the journal and the server as found."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mlops_install.journal import FILE, STATE, UNKNOWN, Entry
from mlops_install.removal import parts, purge
from mlops_install.removal.found import Found
from mlops_install.removal.packages import needed
from mlops_install.removal.parts import BACKUPS, LOGS, Part

DATA = "/srv/mlops/data"
UNIT_FILES = "/etc/systemd/system/"
ALWAYS = (STATE, LOGS)  # the runner itself makes them, sometimes before it can look
# On every Debian: without a kept original nobody knows what they were.
DEBIANS = ("/etc/localtime", "/etc/timezone", "/etc/default/locale", "/etc/locale.conf",
           "/var/log/journal")  # fmt: skip
OURS = ("none", UNKNOWN)  # what `was` of a folder of ours is
TEMPLATES = ("postgres", "template0", "template1")


@dataclass(frozen=True)
class Kept:
    """Something that stays on the server, and why."""

    name: str
    why: str


@dataclass
class Removal:
    """What an uninstall does: the parts in order, and what stays."""

    parts: list[Part] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)


@dataclass(frozen=True)
class Chooser:
    """Sorts the journal into what goes and what stays.

    `others`: paths inside our folders that are in no journal.
    """

    found: Found
    others: tuple[str, ...]
    keep_data: bool

    def of(self, *kinds: str) -> list[Entry]:
        """The entries of these kinds, the last first."""
        return [e for e in reversed(self.found.entries) if e.kind in kinds]

    # --- services -------------------------------------------------------------------------

    def units(self) -> list[str]:
        """Those that our unit files define, with the instances that there are."""
        files = [e.name for e in self.of("file") if e.name.startswith(UNIT_FILES)]
        names = [n for n in (file.removeprefix(UNIT_FILES) for file in files) if "/" not in n]
        plain = [name for name in names if "@." not in name]
        patterns = [re.escape(name).replace("@", "@.+") for name in names if "@." in name]
        known = [u for u in self.found.units if any(re.fullmatch(p, u) for p in patterns)]
        return sorted({*plain, *known})

    def foreign_units(self) -> list[Entry]:
        """Debian's, which ran with our settings."""
        return [e for e in self.of("unit") if e.name not in self.units()]

    # --- databases ------------------------------------------------------------------------

    def roles(self) -> list[str]:
        """Roles that were not there before."""
        return [e.name for e in self.of("role") if e.was != "there"]

    def databases(self) -> list[str]:
        """Those of the journal, and what else our roles own."""
        there = {e.name for e in self.of("database") if e.was == "there"}
        ours = {e.name for e in self.of("database")} - there
        owned = {n for n, owner in self.found.databases.items() if owner in self.roles()}
        return sorted((ours | owned) - there)

    def foreign_databases(self) -> list[str]:
        """Those of others, in the cluster that answers."""
        return sorted(self.found.databases.keys() - {*self.databases(), *TEMPLATES})

    def clusters(self) -> list[str]:
        """Clusters that came with us and hold nothing of others."""
        packages = {e.name for e in self.of("package")}
        return [
            e.name
            for e in self.of("cluster")
            if (e.was == "none" or f"postgresql-{e.name.split('/')[0]}" in packages)
            and e.was != "there"
            and not self.foreign_databases()
        ]

    # --- packages and users ---------------------------------------------------------------

    def packages_kept(self) -> dict[str, str]:
        """Packages of ours that must stay -> why."""
        ours = {e.name for e in self.of("package")}
        stay = [name for name in self.found.clusters if name not in self.clusters()]
        roots = {f"postgresql-{name.split('/')[0]}": f"the cluster {name} stays" for name in stay}
        for path in self.found.strangers:
            if not self.has(path):
                roots |= dict.fromkeys(("nginx", "nginx-common"), f"{path} is not ours")
        roots = {name: why for name, why in roots.items() if name in ours}
        return needed(self.found.packages, ours, roots)

    def packages(self) -> list[str]:
        """Those that go."""
        stay = self.packages_kept()
        return [e.name for e in self.of("package") if e.name not in stay]

    def accounts(self, kind: str) -> list[str]:
        """Users or groups that go."""
        ours = [] if self.keep_data else [e.name for e in self.of(kind) if e.was != "there"]
        came = [] if self.packages_kept() else [e.name for e in self.of(f"package-{kind}")]
        return [*ours, *came]

    # --- files ----------------------------------------------------------------------------

    def files(self) -> list[str]:
        """Files and links that go for good."""
        return [e.name for e in self._files() if e.was != "kept"]

    def originals(self) -> list[str]:
        """Those in whose place the original comes back."""
        return [e.name for e in self._files() if e.was == "kept"]

    def _files(self) -> list[Entry]:
        trees = (*self.trees(), *ALWAYS, DATA)
        found = self.of("file", "link")
        return [e for e in found if not _inside(e.name, trees) and not _lost(e)]

    def trees(self) -> list[str]:
        """Folders that go with all that is in them."""
        within = tuple(f"{e.name}/" for e in self.of("tree") if e.was in OURS)
        return [
            e.name
            for e in self.of("tree")
            if e.name not in (*ALWAYS, DATA if self.keep_data else "")
            and not e.name.startswith(within)
            and e.was in OURS
            and not _lost(e)
            and not _holds(e.name, self.others)
        ]

    def directories(self) -> list[str]:
        """Folders of ours that are empty in the end."""
        known = {e.name for e in self.of("directory") if e.was in OURS}
        inner = {p for path in known for e in self.found.entries for p in _between(path, e.name)}
        stays = [e.name for e in self.of("directory", "tree") if e.was not in OURS]
        stays += [DATA] if self.keep_data and self.has(DATA) else []
        trees = (*self.trees(), *ALWAYS)
        inner |= {above for cluster in self.clusters() for above in _above_cluster(cluster)}
        found = {p for p in known | inner if p not in trees and not _inside(p, trees)}
        return sorted(p for p in found if not _holds(p, (*self.others, *stays)))

    def has(self, name: str) -> bool:
        """Whether the journal has this path."""
        return any(entry.name == name for entry in self.found.entries)


def _lost(entry: Entry) -> bool:
    return entry.was == UNKNOWN and entry.name in DEBIANS


def _between(folder: str, path: str) -> Iterator[str]:
    """The folders below `folder` that lead to `path`."""
    above = path.rpartition("/")[0]
    while above.startswith(f"{folder}/"):
        yield above
        above = above.rpartition("/")[0]


def _above_cluster(cluster: str) -> Iterator[str]:
    """The folders that a cluster leaves behind."""
    for top in ("/etc/postgresql", "/var/lib/postgresql"):
        yield from (top, f"{top}/{cluster.split('/')[0]}")


def _inside(path: str, folders: Iterable[str]) -> bool:
    return path.startswith(tuple(f"{folder}/" for folder in folders))


def _holds(folder: str, paths: Iterable[str]) -> bool:
    return any(path.startswith(f"{folder}/") for path in paths)


def make(found: Found, others: tuple[str, ...], *, keep_data: bool) -> Removal:
    """The parts in order, and what stays."""
    chosen = Chooser(found, others, keep_data)
    if not found.entries:
        return Removal([parts.state("", keep=keep_data)] if found.state else [])
    locales = [e for e in chosen.of("locale") if e.was != UNKNOWN]
    given = [e for e in chosen.of("directory", "tree", "authorities")
             if e.was not in OURS and e.name not in ALWAYS]  # fmt: skip
    foreign = chosen.foreign_units()
    groups = [e.name for e in chosen.of("group") if e.was == "there"]
    made = [
        parts.services(chosen.units()),
        parts.databases(chosen.clusters(), chosen.databases(), chosen.roles(), dump=keep_data),
        parts.files(chosen.files(), chosen.originals(), [e.name for e in foreign]),
        *([parts.authorities()] if chosen.of("authorities") else []),
        *([parts.locales(locales)] if locales else []),
        *([purge.packages(chosen.packages())] if chosen.packages() else []),
        purge.locale_setting(),
        parts.accounts(chosen.accounts("user"), chosen.accounts("group"), groups),
        parts.folders(chosen.trees(), chosen.directories()),
        *([parts.modes(given)] if given else []),
        *([parts.others_services(foreign)] if foreign else []),
        parts.state(_next_journal(chosen), keep=keep_data),
    ]
    return Removal(made, list(_kept(chosen)))


def _next_journal(chosen: Chooser) -> str:
    """What is ours and stays, so that a later uninstall finds it; empty when nothing does."""
    if not chosen.keep_data:
        return ""
    gone = {*chosen.files(), *chosen.originals(), *chosen.trees(), *chosen.directories(),
            *chosen.packages(), *chosen.accounts("user"), *chosen.accounts("group"),
            *chosen.clusters()}  # fmt: skip
    stay = [e for e in chosen.found.entries if e.name not in gone and _is_ours(e, chosen.trees())]
    told = chosen.of("upgraded")
    return "".join(f"{e.line()}\n" for e in (*stay, *told))


def _is_ours(entry: Entry, trees: list[str]) -> bool:
    """Whether we made what the entry names, and it does not go with a tree around it."""
    kinds = ("journal", "package", "package-user", "package-group", "user", "group", "directory",
             "tree", "cluster")  # fmt: skip
    inside = _inside(entry.name, (*trees, *ALWAYS))
    return entry.kind in kinds and entry.was in OURS and not inside


def _kept(chosen: Chooser) -> Iterator[Kept]:
    if chosen.keep_data:
        if chosen.has(DATA):
            yield Kept(DATA, "data of tasks; --no-keep-data removes it")
        yield Kept(BACKUPS, "backups, with a last dump and the secrets to read it")
        yield Kept(FILE, "what of this is ours")
        for entry in chosen.of("user"):
            yield Kept(f"user and group {entry.name}", "the data is theirs")
    for path in chosen.others:
        yield Kept(path, "not made by the installer")
    for entry in chosen.of("directory", "tree"):
        if entry.was not in OURS and entry.name not in ALWAYS:
            yield Kept(entry.name, "it was there before")
    for entry in chosen.of("file", "link", "tree"):
        if _lost(entry):
            yield Kept(entry.name, "as it is: there was no journal yet to keep the original")
    for name, why in chosen.packages_kept().items():
        yield Kept(f"package {name}", why)
    for entry in chosen.of("upgraded"):
        yield Kept(f"package {entry.name}", f"upgraded from {entry.was}; it stays")
    for name in chosen.foreign_databases():
        yield Kept(f"database {name}", "not ours; so its cluster stays")
    for kind in ("user", "role", "database", "cluster"):
        for entry in chosen.of(kind):
            if entry.was == "there":
                yield Kept(f"{kind} {entry.name}", "it was there before")
