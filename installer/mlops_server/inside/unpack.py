"""Unpack conda packages. No code of theirs runs here, so that all models can share the result."""

import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mlops_server.condapart import archive_name
from mlops_server.errors import BadLock

AT_ONCE = min(os.cpu_count() or 1, 8)


def run(request: dict[str, Any]) -> None:
    """Unpack each archive into a folder that is named as it is: by the SHA-256."""
    source, into = Path(request["from"]), Path(request["into"])
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda one: _unpack(one, source, into), request["conda"]))


def _unpack(package: dict[str, str], source: Path, into: Path) -> None:
    """Raises `BadLock`."""
    from rattler.package_streaming import extract

    named = Path(tempfile.mkdtemp()) / archive_name(package["url"])
    named.symlink_to(source / package["sha256"])  # rattler tells the format by the name
    try:
        extract(named, into / package["sha256"])
    except Exception as error:  # rattler has many kinds
        what = f"{package['name']} {package['version']} cannot be unpacked: {error}"
        raise BadLock(what, fix="ask for another version; do not trust this channel") from error
