"""The pip part of a build: uv installs the locked wheels, hashes enforced, nothing built."""

import os
import subprocess
from pathlib import Path

from mlops_server.condapart import Say, explain
from mlops_server.errors import BadLock, EnvError
from mlops_server.layout import Layout
from mlops_server.lockfile import Locked
from mlops_server.models import locks


def install(prefix: Path, wanted: list[Locked], layout: Layout, say: Say) -> None:
    """Install wheels into a prefix that has Python. Raises `EnvError`."""
    if not wanted:
        return
    for package in wanted:
        say(f"pip: {package.name} {package.version}")
    if not layout.uv.exists():
        raise EnvError(f"{layout.uv} is missing", fix="`mlops-install apply` installs it")
    lines = requirements(wanted, by_name=bool(os.environ.get("UV_DEFAULT_INDEX")))
    done = subprocess.run(
        [layout.uv, "pip", "install", "--python", prefix / "bin/python", "--requirement", "-",
         "--require-hashes", "--no-deps", "--only-binary", ":all:", "--compile-bytecode",
         "--link-mode", "copy", "--no-config", "--quiet"],
        input=lines,
        # In the prefix, so that what a killed build leaves running is seen to be at work there.
        cwd=prefix,
        env=_variables(layout),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise explain(_last(done.stdout))


def requirements(wanted: list[Locked], *, by_name: bool) -> str:
    """What uv is given: where a mirror is set by name, else from the locked address.

    Raises `BadLock` for a package that is not a wheel.
    """
    for package in wanted:
        if flaw := locks.unbuilt(f"{package.name} {package.version}", package.url):
            raise BadLock(flaw.text, fix=flaw.fix)
    return "".join(
        (f"{p.name}=={p.version}" if by_name else f"{p.name} @ {p.url}")
        + f" --hash=sha256:{p.sha256}\n"
        for p in wanted
    )


def _variables(layout: Layout) -> dict[str, str]:
    foreign = ("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME")
    mine = {name: value for name, value in os.environ.items() if name not in foreign}
    return mine | {"UV_CACHE_DIR": str(layout.uv_cache), "UV_PYTHON_DOWNLOADS": "never"}


def _last(output: str) -> str:
    """uv's message on one line, without its frame."""
    words = (line.strip(" ×├╰│─▶╴") for line in output.splitlines())  # noqa: RUF001
    return "uv: " + " ".join(word for word in words if word)
