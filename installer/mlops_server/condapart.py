"""The conda part of a build: py-rattler installs the locked packages, hashes enforced."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from mlops_server.errors import BadLock, EnvError
from mlops_server.layout import Layout
from mlops_server.lockfile import RELOCK, Locked, subdir

if TYPE_CHECKING:
    from rattler import Config, InstallerReporter, RepoDataRecord

Say = Callable[[str], None]
LONG = 5.0
"""Seconds between two lines about a download that is still under way."""


def install(prefix: Path, lock: Path, wanted: list[Locked], layout: Layout, say: Say) -> None:
    """Install `wanted` of a lock into a prefix (absolute). Raises `EnvError`.

    Link scripts of packages are not run: they would be foreign code as root.
    """
    import asyncio

    from rattler.exceptions import ConfigError, InstallerError

    records = _records(lock, wanted)
    try:
        asyncio.run(_install(prefix, records, layout, say))
    except InstallerError as error:
        raise explain(str(error)) from error
    except ConfigError as error:
        fix = "correct the mirrors in the config, then `mlops-install apply`"
        raise EnvError(f"{layout.conda_config} is wrong: {error}", fix=fix) from error
    for script in sorted(prefix.glob("bin/.*-post-link.sh")):
        name = script.name[1:].removesuffix("-post-link.sh")
        say(f"{name}: its post-link script is not run")


async def _install(prefix: Path, records: list["RepoDataRecord"], layout: Layout, say: Say) -> None:
    import rattler
    from rattler.package_cache import PackageCache, ValidationMode

    # In full: a file of the cache that was changed by hand must not get into environments.
    cache = PackageCache.new_layered([layout.package_cache], validation_mode=ValidationMode.full())
    index = await cache.index()
    missing = sum(not index.contains_record(record) for record in records)
    say(f"{len(records)} packages, {missing} to download")
    reporter = Reporter({r.name.normalized: str(r.version) for r in records}, say)
    await rattler.install(
        records,
        prefix,
        execute_link_scripts=False,
        show_progress=False,
        reporter=cast("InstallerReporter", reporter),  # it need not have every method
        config=_config(layout.conda_config),
        package_cache=cache,
    )


def _config(path: Path) -> "Config":
    """The server's mirrors and logins, and no file shared between environments and cache."""
    from rattler import Config

    config = Config.load_from_files([path]) if path.exists() else Config()
    config.set("allow-hard-links", "false")
    return config


def _records(lock: Path, wanted: list[Locked]) -> list["RepoDataRecord"]:
    """The lock's records of this platform that are in `wanted`."""
    from rattler import LockFile
    from rattler.exceptions import ParseCondaLockError

    try:
        environment = LockFile.from_path(lock).default_environment()
    except ParseCondaLockError as error:
        raise EnvError(f"{lock} cannot be read: {error}", fix=RELOCK) from error
    found = environment.conda_repodata_records().get(subdir(), []) if environment else []
    names = {package.name.lower() for package in wanted}
    records = {r.name.normalized: r for r in found if r.name.normalized in names}
    bare = [name for name in names if name not in records or not records[name].sha256]
    if bare:
        raise EnvError(f"{lock} cannot be read: no {', '.join(sorted(bare))}", fix=RELOCK)
    return list(records.values())


@dataclass
class Reporter:
    """Turns rattler's events into lines; they come from several threads."""

    versions: dict[str, str]
    say: Say
    entries: list[str] = field(default_factory=list)
    totals: dict[int, int | None] = field(default_factory=dict)
    told: dict[int, float] = field(default_factory=dict)
    downloaded: set[str] = field(default_factory=set)

    def on_populate_cache_start(self, operation: int, package_name: str) -> int:
        """A package is looked for in the cache."""
        self.entries.append(package_name)
        return len(self.entries) - 1

    def on_download_start(self, cache_entry: int) -> int:
        """A download begins; its number is the cache entry's."""
        self.told[cache_entry] = time.monotonic()
        return cache_entry

    def on_download_progress(self, download_idx: int, progress: int, total: int | None) -> None:
        """Bytes came; said only now and then."""
        self.totals[download_idx] = total or progress
        if total and time.monotonic() - self.told[download_idx] > LONG:
            self.told[download_idx] = time.monotonic()
            name = self.entries[download_idx]
            self.say(f"{self._named(name)}: {100 * progress // total} % of {size(total)}")

    def on_download_completed(self, download_idx: int) -> None:
        """A download ended."""
        name = self.entries[download_idx]
        self.downloaded.add(name)
        self.say(f"{self._named(name)} ({size(self.totals.get(download_idx))})")

    def on_link_start(self, operation: int, package_name: str) -> int:
        """A package goes into the environment."""
        if package_name not in self.downloaded:
            self.say(self._named(package_name))
        return operation

    def _named(self, name: str) -> str:
        return f"{name} {self.versions.get(name, '')}".rstrip()


def size(count: int | None) -> str:
    """Bytes for people."""
    if count is None:
        return "size unknown"
    value = count / 1000
    for unit in ("kB", "MB"):
        if value < 1000:
            return f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def explain(text: str) -> EnvError:
    """An error of a download or of the disk, as one that helps."""
    causes = [line.strip().removeprefix("Caused by:").strip() for line in text.splitlines()]
    causes = [cause for cause in causes if cause]
    flat = "; ".join(dict.fromkeys([*causes[:1], *causes[-1:]]))
    for sign, fix in _FIXES:
        if sign in text.lower():
            return (BadLock if _FOR_GOOD.search(text) else EnvError)(flat, fix=fix)
    return EnvError(flat, fix="run the same command again; it begins anew")


_FIXES = (
    ("no space left", "free some disk space, then run the same command again"),
    ("hash mismatch", "the channel or mirror serves another file than was locked; do not trust it"),
    ("sha256", "the channel or mirror serves another file than was locked; do not trust it"),
    ("401", "the login for the channel or its mirror is missing or wrong"),
    ("403", "the login for the channel or its mirror is missing or wrong"),
    ("404", "the channel no longer has this package: `mlops-install lock`, or add a mirror"),
    ("error sending request", "the channel cannot be reached: check network, proxy and mirrors"),
    ("connect", "the channel cannot be reached: check network, proxy and mirrors"),
    ("dns", "the channel cannot be reached: check network, proxy and mirrors"),
)
_FOR_GOOD = re.compile(r"\(404 not found\)|\bhash mismatch\b", re.IGNORECASE)
"""What no other try will change; a word such as 404 alone may be part of an address."""
