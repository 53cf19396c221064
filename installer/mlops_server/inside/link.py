"""Make the prefix: link the unpacked packages, install the wheels, compile. Has no network."""

import os
import shutil
from pathlib import Path
from typing import Any

from mlops_server import condapart
from mlops_server.inside import compiling, pippart
from mlops_server.inside.__main__ import say
from mlops_server.lockfile import Locked

WORK = ".mlops-work"


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Fill the prefix, and leave nothing in it but what belongs there. Raises `EnvError`.

    `damaged` in the answer is a package that has to be unpacked anew.
    """
    prefix = Path(request["prefix"])
    conda = [Locked(**one) for one in request["conda"]]
    wheels = [Locked(**one) for one in request["wheels"]]
    work = prefix / WORK
    work.mkdir()
    os.environ |= {"HOME": str(work), "TMPDIR": str(work)}
    layer = _layer(work / "packages", conda, Path(request["packages"]))
    try:
        condapart.link(prefix, request["lock"], conda, layer, say)
    except condapart.DamagedPackage as error:
        return {"damaged": error.message}
    pippart.install(prefix, wheels, Path(request["archives"]), Path(request["uv"]), work, say)
    say("compiling")
    compiling.compile_noarch(prefix)
    shutil.rmtree(work)
    return {}


def _layer(folder: Path, conda: list[Locked], packages: Path) -> Path:
    """A cache as rattler wants it: by name, and with room for its own marks."""
    folder.mkdir()
    for package in conda:
        (folder / condapart.stem(package.url)).symlink_to(packages / package.sha256)
    return folder
