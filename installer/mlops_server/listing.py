"""What is in an environment or a release, to be compared with what was seen when it was made."""

import subprocess
from pathlib import Path

from mlops_server.layout import METADATA

COMMAND = (
    "find . -path ./.mlops/files -prune"
    r" -o -type d -printf '%p\t%y %m %U:%G\n'"
    r" -o -printf '%p\t%y %m %U:%G %s %C@ %l\n'"
    " | LC_ALL=C sort"
)
"""Run with the prefix as the working folder. A file's change time moves with every edit,
whatever its size and modification time say; a folder's moves by itself, so it is left out."""
OWN = f"-name __pycache__ -prune -o -path ./{METADATA} -prune -o"
CONTENTS = (
    f"(find . {OWN} -printf '%y %m %U:%G %l %p\\0' | LC_ALL=C sort -z;"
    f" find . {OWN} -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum)"
    " | sha256sum | head -c 64"
)
"""Run with a release as the working folder: what it holds and who may change it, as one digest."""


def take(prefix: Path) -> bytes:
    """The listing of a prefix as it is now."""
    done = subprocess.run(["/bin/sh", "-c", COMMAND], cwd=prefix, capture_output=True, check=True)
    return done.stdout


def write(prefix: Path) -> None:
    """Keep the listing of a finished build."""
    path = prefix / ".mlops/files"
    path.write_bytes(take(prefix))
    path.chmod(0o644)


def differences(prefix: Path) -> list[str]:
    """What is not as it was built: `changed NAME`, `missing NAME`, `extra NAME`, sorted."""
    try:
        before = (prefix / ".mlops/files").read_bytes()
    except FileNotFoundError:
        return ["missing .mlops/files"]
    now = take(prefix)
    return [] if before == now else _compare(_index(before), _index(now))


def _compare(before: dict[str, str], now: dict[str, str]) -> list[str]:
    changed = [
        f"changed {name}" for name in before.keys() & now.keys() if before[name] != now[name]
    ]
    missing = [f"missing {name}" for name in before.keys() - now.keys()]
    extra = [f"extra {name}" for name in now.keys() - before.keys()]
    # Two names with line breaks can hide each other; the texts still differ.
    return sorted(changed) + sorted(missing) + sorted(extra) or ["changed ."]


def _index(listing: bytes) -> dict[str, str]:
    lines = listing.decode(errors="surrogateescape").split("\n")
    pairs = (line.partition("\t") for line in lines)
    return {name.removeprefix("./"): rest for name, _, rest in pairs}


def contents(folder: Path) -> str:
    """The digest of a release: 64 hex digits."""
    done = subprocess.run(["/bin/sh", "-c", CONTENTS], cwd=folder, capture_output=True, check=True)
    return done.stdout.decode()
