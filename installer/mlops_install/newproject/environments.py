"""A model's environment on this machine, built by the code that builds it on the server."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from mlops_server.layout import Layout, lock_hash

from mlops_install import channels
from mlops_install.newproject.errors import CheckError
from mlops_install.settings import Config

FILES = ("conda-lock.yml", "environment.yml", "model.toml")
CONDA_FORGE = "https://conda.anaconda.org"
BUILD = """\
import sys
from pathlib import Path
from mlops_server.__main__ import run
from mlops_server.layout import Layout
run(sys.argv[2:], Layout(Path(sys.argv[1])), None)
"""


def build(model: Path, work: Path, config: Config) -> Path:
    """Build the environment of `models/<name>` if it is not there; its interpreter.

    Raises `CheckError`; the builder has then said why.
    """
    layout = Layout(work / "server")
    _settle(layout, config)
    lock = lock_hash((model / "conda-lock.yml").read_bytes())
    offered = layout.locks / model.name / lock
    offered.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        if (model / name).exists():
            shutil.copy(model / name, offered)
    words = [sys.executable, "-P", "-B", "-c", BUILD, str(layout.root)]
    done = subprocess.run([*words, "env", "build", model.name, lock], check=False)
    if done.returncode:
        raise CheckError(
            f"the environment of {model.name} cannot be built", fix="the lines above tell why"
        )
    return (layout.envs / model.name / lock).resolve() / "bin/python"


def uv() -> str:
    """The uv program: the one beside this Python, or on PATH. Raises `CheckError`."""
    beside = shutil.which("uv", path=str(Path(sys.executable).parent))
    found = beside or shutil.which("uv")
    if not found:
        raise CheckError("uv is not installed", fix="`pip install uv`")
    return found


def _settle(layout: Layout, config: Config) -> None:
    """What the server has: uv, and where the channels are."""
    layout.uv.parent.mkdir(parents=True, exist_ok=True)
    layout.uv.unlink(missing_ok=True)
    layout.uv.symlink_to(uv())
    layout.conda_config.parent.mkdir(parents=True, exist_ok=True)
    mirrors = config.models.channel_mirrors.items()
    lines = (f'"{_address(channel)}" = ["{mirror}"]' for channel, mirror in mirrors)
    layout.conda_config.write_text("\n".join(["[mirrors]", *lines, ""]))
    allowed = json.dumps(channels.allowed(config))
    layout.workflows_config.write_text(f"channels = {allowed}\n")


def _address(channel: str) -> str:
    return channel if "://" in channel else f"{CONDA_FORGE}/{channel}"
