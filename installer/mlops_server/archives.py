"""The caches that models share: unpacked conda packages, and wheels, both by their SHA-256."""

import os
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mlops_server import confined, takeover
from mlops_server.condapart import Say, archive_name
from mlops_server.errors import EnvError
from mlops_server.layout import Layout
from mlops_server.lockfile import Locked


def provide(
    layout: Layout, model: str, conda: list[Locked], wheels: list[Locked], say: Say
) -> None:
    """Have all packages in the caches. Hold the lock of the cache. Raises `EnvError`."""
    for package in conda:
        archive_name(package.url)
    for folder in (layout.package_cache, layout.wheel_cache):
        folder.mkdir(parents=True, exist_ok=True)
    absent = [one for one in conda if not (layout.package_cache / one.sha256).is_dir()]
    more = [one for one in wheels if not (layout.wheel_cache / one.sha256).is_file()]
    say(f"{len(conda)} packages, {len(absent)} to download")
    if absent or more:
        _fetch(layout, model, absent, more, say)


def _fetch(layout: Layout, model: str, conda: list[Locked], wheels: list[Locked], say: Say) -> None:
    """By a unit that has the network, and then unpack by one that has none."""
    archives = layout.package_cache / f".archives-{model}"
    confined.remove(archives)
    archives.mkdir(mode=0o755)
    try:
        with confined.yard(layout, layout.package_cache / f".fetch-{model}") as yard:
            request = _request(layout, conda, wheels) | {"into": str(yard.seen)}
            confined.call(
                layout, f"mlops-fetch-{model}", "fetch", request, say, yard=yard, network=True
            )
            for one in conda:
                takeover.take_file(yard.hidden / one.sha256, one.sha256, archives / one.sha256)
            for one in wheels:
                target = layout.wheel_cache / one.sha256
                takeover.take_file(yard.hidden / one.sha256, one.sha256, target)
        confined.remove(yard.seen)
        if conda:
            _unpack(layout, model, conda, archives, say)
    finally:
        confined.remove(archives)


def _request(layout: Layout, conda: list[Locked], wheels: list[Locked]) -> dict[str, Any]:
    """What the fetching unit has to know; by stdin, for units can be read by everybody."""
    logins = layout.root / "etc/mlops/secrets/conda-auth.json"
    return {
        "conda": [asdict(one) for one in conda],
        "wheels": [asdict(one) for one in wheels],
        "index": _index(layout) if wheels else "",
        "config": layout.conda_config.read_text() if layout.conda_config.exists() else "",
        "logins": logins.read_text() if logins.exists() else "",
        "variables": confined.network(),
    }


def _index(layout: Layout) -> str:
    """The server's index of wheels, or the one that uv itself asks by default."""
    if index := os.environ.get("UV_DEFAULT_INDEX"):
        return index
    words = ("--emit-index-url", "--no-header", "--no-config", "--no-cache", "--offline", "--quiet")
    try:
        done = subprocess.run(
            [layout.uv, "pip", "compile", "-", *words],
            input="", capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.split("--index-url ")[1].split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError) as error:
        fix = "set [base] python_index, then `mlops-install apply`"
        raise EnvError(f"{layout.uv} does not name its index: {error}", fix=fix) from error


def _unpack(layout: Layout, model: str, conda: list[Locked], archives: Path, say: Say) -> None:
    with confined.yard(layout, layout.package_cache / f".unpack-{model}") as yard:
        places = {"from": str(archives), "into": str(yard.seen)}
        request = {"conda": [asdict(one) for one in conda], **places}
        confined.call(layout, f"mlops-unpack-{model}", "unpack", request, say, yard=yard)
        for one in conda:
            takeover.take(yard.hidden / one.sha256)
            target = layout.package_cache / one.sha256
            if not target.exists():  # another model's build may have been quicker
                (yard.hidden / one.sha256).rename(target)
    confined.remove(yard.seen)


def drop(layout: Layout, name: str, conda: list[Locked]) -> bool:
    """Remove a package that is not as it was, by the name of its file; whether there was one."""
    found = [one for one in conda if archive_name(one.url).startswith(f"{name}.")]
    confined.remove(*(layout.package_cache / one.sha256 for one in found))
    return bool(found)
