"""The conda part of a build: py-rattler links the locked packages into a prefix."""

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote, urlsplit

from mlops_server.errors import BadLock, EnvError
from mlops_server.lockfile import RELOCK, Locked, subdir

if TYPE_CHECKING:
    from rattler import InstallerReporter, RepoDataRecord

Say = Callable[[str], None]
ARCHIVE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+!-]{0,200}\.(?:conda|tar\.bz2)")
DAMAGED = re.compile(r"failed to fetch (\S+)(?:\.conda|\.tar\.bz2)")
"""What rattler says when an unpacked package is not as it was: it would fetch it once more."""


class DamagedPackage(EnvError):  # noqa: N818 - reads as what was found
    """An unpacked package is not as it was; the message is its name."""


def link(prefix: Path, lock: str, wanted: list[Locked], packages: Path, say: Say) -> None:
    """Link the unpacked packages of a lock's text into a prefix (absolute). Raises `EnvError`.

    Link scripts of packages are not run.
    """
    import asyncio

    from rattler.exceptions import InstallerError

    records = _records(lock, wanted)
    try:
        asyncio.run(_link(prefix, records, packages, say))
    except InstallerError as error:
        if damaged := DAMAGED.search(str(error)):
            raise DamagedPackage(damaged[1]) from error
        raise explain(str(error)) from error
    for script in sorted(prefix.glob("bin/.*-post-link.sh")):
        name = script.name[1:].removesuffix("-post-link.sh")
        say(f"{name}: its post-link script is not run")


async def _link(prefix: Path, records: list["RepoDataRecord"], packages: Path, say: Say) -> None:
    import rattler
    from rattler import Config
    from rattler.package_cache import PackageCache, ValidationMode

    # In full: a file of the cache that was changed by hand must not get into environments.
    cache = PackageCache.new_layered([packages], validation_mode=ValidationMode.full())
    config = Config()
    config.set("allow-hard-links", "false")  # no file is shared between environments and cache
    reporter = Reporter({r.name.normalized: str(r.version) for r in records}, say)
    await rattler.install(
        records,
        prefix,
        execute_link_scripts=False,
        show_progress=False,
        reporter=cast("InstallerReporter", reporter),  # it need not have every method
        config=config,
        package_cache=cache,
    )


def archive_name(url: str) -> str:
    """The name of a package's file. Raises `BadLock` for what is none."""
    name = unquote(urlsplit(url).path.rpartition("/")[2])
    if not ARCHIVE.fullmatch(name):
        raise BadLock(f"{url} is not the address of a conda package", fix=RELOCK)
    return name


def stem(url: str) -> str:
    """How rattler calls an unpacked package. Raises `BadLock`."""
    return archive_name(url).removesuffix(".conda").removesuffix(".tar.bz2")


def _records(lock: str, wanted: list[Locked]) -> list["RepoDataRecord"]:
    """The lock's records of this platform that are in `wanted`."""
    from rattler import LockFile
    from rattler.exceptions import ParseCondaLockError

    path = Path(tempfile.mkdtemp()) / "conda-lock.yml"
    path.write_text(lock)
    try:
        environment = LockFile.from_path(path).default_environment()
    except ParseCondaLockError as error:
        raise BadLock(f"conda-lock.yml cannot be read: {error}", fix=RELOCK) from error
    found = environment.conda_repodata_records().get(subdir(), []) if environment else []
    names = {package.name.lower() for package in wanted}
    records = {r.name.normalized: r for r in found if r.name.normalized in names}
    bare = [name for name in names if name not in records or not records[name].sha256]
    if bare:
        raise BadLock(f"conda-lock.yml cannot be read: no {', '.join(sorted(bare))}", fix=RELOCK)
    return list(records.values())


@dataclass
class Reporter:
    """Turns rattler's events into lines; they come from several threads."""

    versions: dict[str, str]
    say: Say

    def on_link_start(self, operation: int, package_name: str) -> int:
        """A package goes into the environment."""
        self.say(f"{package_name} {self.versions.get(package_name, '')}".rstrip())
        return operation


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
    ("request failed after", "the channel cannot be reached: check network, proxy and mirrors"),
    ("error sending request", "the channel cannot be reached: check network, proxy and mirrors"),
    ("connect", "the channel cannot be reached: check network, proxy and mirrors"),
    ("dns", "the channel cannot be reached: check network, proxy and mirrors"),
)
_FOR_GOOD = re.compile(r"\(404 [^)]*\)|\bhash mismatch\b", re.IGNORECASE)
"""What no other try will change; a word such as 404 alone may be part of an address."""
