"""The pip part of a build: uv installs the locked wheels, hashes enforced, nothing built."""

import os
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlops_server.condapart import Say, explain
from mlops_server.errors import EnvError
from mlops_server.lockfile import Locked


def install(
    prefix: Path, wanted: list[Locked], archives: Path, uv: Path, work: Path, say: Say
) -> None:
    """Install fetched wheels into a prefix that has Python. Raises `EnvError`."""
    if not wanted:
        return
    for package in wanted:
        say(f"pip: {package.name} {package.version}")
    if not uv.exists():
        raise EnvError(f"{uv} is missing", fix="`mlops-install apply` installs it")
    folder = work / "wheels"
    folder.mkdir()
    for package in wanted:  # uv takes name, version and platform from the name of the file
        name = unquote(urlsplit(package.url).path.rpartition("/")[2])
        (folder / name).symlink_to(archives / package.sha256)
    done = subprocess.run(
        [uv, "pip", "install", "--python", prefix / "bin/python", "--requirement", "-",
         "--offline", "--no-index", "--find-links", folder, "--cache-dir", work / "uv",
         "--require-hashes", "--no-deps", "--only-binary", ":all:", "--compile-bytecode",
         "--link-mode", "hardlink", "--no-config", "--quiet"],
        input=requirements(wanted),
        cwd=prefix,
        env=os.environ | {"UV_PYTHON_DOWNLOADS": "never"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise explain(_last(done.stdout))


def requirements(wanted: list[Locked]) -> str:
    """What uv is given."""
    return "".join(f"{p.name}=={p.version} --hash=sha256:{p.sha256}\n" for p in wanted)


def _last(output: str) -> str:
    """uv's message on one line, without its frame."""
    words = (line.strip(" ×├╰│─▶╴") for line in output.splitlines())  # noqa: RUF001
    return "uv: " + " ".join(word for word in words if word)
