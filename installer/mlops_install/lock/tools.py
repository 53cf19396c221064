"""What conda-lock and the solver are given: files in a temporary folder, named by variables.

No secret is ever a word of a command line; files with logins are for their owner only.
"""

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from mlops_install import reading
from mlops_install.digest import short
from mlops_install.errors import ConfigError
from mlops_install.lock import LockOptions
from mlops_install.lock.project import Source

SOLVER = "mlops-conda-solver"
GLIBC = "2.36"
"""The C library of Debian 12, the oldest system that a server may run."""
KERNEL = "6.1"
MACHINES = {"linux-64": "x86_64", "linux-aarch64": "aarch64"}


@dataclass(frozen=True)
class Tools:
    """How to start conda-lock: its first words, the solver, and the environment.

    `ours` says that the solver is ours; `names` is the map from PyPI's names.
    """

    words: tuple[str, ...]
    solver: str
    ours: bool
    names: str
    environment: Mapping[str, str]


def prepare(folder: Path, options: LockOptions, sources: Iterable[Source]) -> Tools:
    """Write what is the same for all models into a private folder. Raises `ConfigError`."""
    for source in sources:
        _guard_login(source, options)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CONDA_LOCK_")}
    environment |= {
        "MLOPS_RATTLER_CONFIG": str(_rattler(folder, options)),
        "MLOPS_CONDA_CACHE": str(_cache(options)),
    }
    words = [sys.executable, "-m", "conda_lock"]
    if options.python_index:
        environment["POETRY_CONFIG_DIR"] = str(_poetry(folder, options.python_index))
        words = [sys.executable, "-m", "mlops_install.lock.condalock"]
    solver = _solver(folder, options.conda)
    return Tools(tuple(words), solver, not options.conda, names(options), environment)


def names(options: LockOptions) -> str:
    """Path or URL of the map from PyPI's names to conda's. Raises `ConfigError`."""
    given = options.pypi_names
    if given is None:
        return str(Path(__file__).with_name("pypi_names.json"))
    if re.match(r"https?://", given):
        return given
    path = reading.at_home(given, "[models] pypi_names").absolute()
    if not reading.is_file(path):
        raise ConfigError(f"there is no file {path}", fix="correct [models] pypi_names")
    return str(path)


def virtual_packages(platforms: Iterable[str], cuda: str | None) -> str:
    """What the server has, as conda-lock's virtual-packages.yml. Raises `ConfigError`."""
    subdirs = {}
    for platform in platforms:
        if platform not in MACHINES:
            raise ConfigError(
                f"{platform} is not a platform that servers have",
                fix=f"set [models] platforms to some of {', '.join(MACHINES)}",
            )
        packages = {
            "__unix": "0",
            "__linux": KERNEL,
            "__glibc": GLIBC,
            "__archspec": f"1 {MACHINES[platform]}",
        }
        subdirs[platform] = {"packages": packages | ({"__cuda": cuda} if cuda else {})}
    return json.dumps({"subdirs": subdirs}, indent=1)


def channel_url(channel: str) -> str:
    """The true address of a channel, by its name or its address."""
    named = "://" not in channel
    return f"https://conda.anaconda.org/{channel}" if named else channel.rstrip("/")


# --- files --------------------------------------------------------------------------------


def _solver(folder: Path, conda: str | None) -> str:
    if conda:
        found = shutil.which(conda)
        if not found:
            raise ConfigError(
                f"there is no program {conda}", fix="correct --conda, or leave it out"
            )
        return str(Path(found).absolute())
    beside = Path(sys.executable).with_name(SOLVER)
    if beside.exists():
        return str(beside)
    wrapper = folder / SOLVER
    command = shlex.join([sys.executable, "-m", "mlops_install.condasolver"])
    wrapper.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    wrapper.chmod(0o700)
    return str(wrapper)


def _rattler(folder: Path, options: LockOptions) -> Path:
    lines = []
    if options.user and options.password:
        login = {"username": options.user, "password": options.password.get_secret_value()}
        # rattler looks a login up by the host of the true channel, not by the mirror's.
        urls = [url for pair in options.mirrors.items() for url in pair]
        hosts = {urlsplit(channel_url(url)).hostname: {"BasicHTTP": login} for url in urls}
        _private(folder / "conda-auth.json", json.dumps(hosts))
        lines.append(
            f"authentication-override-file = {json.dumps(str(folder / 'conda-auth.json'))}"
        )
    lines.append("[mirrors]")
    for channel, mirror in options.mirrors.items():
        lines.append(f"{json.dumps(channel_url(channel))} = [{json.dumps(mirror.rstrip('/'))}]")
    path = folder / "rattler.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def _guard_login(source: Source, options: LockOptions) -> None:
    """The login would go along to every channel of a host that has a mirror."""
    if not (options.user and options.mirrors):
        return
    mirrored = {channel_url(channel) for channel in options.mirrors}
    hosts = {urlsplit(url).hostname for url in mirrored}
    for channel in map(channel_url, source.channels):
        if urlsplit(channel).hostname in hosts and channel not in mirrored:
            raise ConfigError(
                f"{source.where}: {channel} has no mirror, and would be sent the mirrors' login",
                fix="add it to [models] channel_mirrors",
            )


def _poetry(folder: Path, index: str) -> Path:
    """Configuration of the part of conda-lock that resolves pip sections."""
    url = urlsplit(index)
    bare = urlunsplit(url._replace(netloc=url.netloc.rpartition("@")[2]))
    home = folder / "poetry"
    home.mkdir(mode=0o700)
    text = f"[repositories.index]\nurl = {json.dumps(bare)}\n\n[keyring]\nenabled = false\n"
    (home / "config.toml").write_text(text)
    if url.username:
        user, password = json.dumps(unquote(url.username)), json.dumps(unquote(url.password or ""))
        login = f"[http-basic.index]\nusername = {user}\npassword = {password}\n"
        _private(home / "auth.toml", login)
    return home


def _private(path: Path, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)


def _cache(options: LockOptions) -> Path:
    """Indexes are cached by the channel's true address: another mirror needs another folder."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "mlops-install" / "channels" / short(json.dumps(sorted(options.mirrors.items())))
