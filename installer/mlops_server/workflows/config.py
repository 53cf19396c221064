"""/etc/mlops/workflows.toml: which repository to pull, and its limits. Strict."""

import re
from dataclasses import dataclass, fields
from ipaddress import ip_address
from pathlib import Path

from mlops_server import tomltext
from mlops_server.errors import EnvError
from mlops_server.models import sources

FIX = "correct [workflows] in mlops.toml, then `mlops-install apply`"
REF = re.compile(
    r"refs/(?:heads|tags)/(?!\.|.*(?:\.\.|//|/\.|@\{|\.lock(?:/|$)|[/.]$))"
    r"[^\x00-\x20\x7f-\x9f~^:?*\[\\\"]+"
)
LONGEST = 240
"""Bytes of a ref's name: Git writes files of this name, and of a longer one beside them."""
_HOST = r"(?:[A-Za-z0-9][\w.-]*|\[[0-9a-fA-F:.]+\])"
_SCP = re.compile(rf"(?:\w[\w.-]*@)?({_HOST}):(?!:|//)\S+", re.ASCII)
_URL = re.compile(r"([a-z][a-z0-9+-]*)://(?:([^/@\s]*)@)?([^/@\s]*)/(\S*)")
_PLACE = re.compile(rf"({_HOST})(?::([0-9]{{1,5}}))?", re.ASCII)
_ODD = re.compile(r"[\"\\<>`\x00-\x20\x7f-\x9f]")


@dataclass(frozen=True)
class Config:
    """The settings; without a `repository` there is nothing to pull. Sizes are in MiB, times in
    seconds; `cuda` is the server's, for models that name none; `channels` is how addresses of
    packages may begin."""

    repository: str | None = None
    ref: str = "main"
    keep: int = 5
    keep_environments: int = 2
    max_file_mb: int = 50
    max_release_mb: int = 100
    test_timeout: int = 600
    signed: bool = False
    lfs: bool = False
    submodules: bool = True
    cuda: str | None = None
    channels: tuple[str, ...] = sources.DEFAULT

    @property
    def full_ref(self) -> str:
        """The ref by its full name: refs/heads/..., or refs/tags/..."""
        return self.ref if self.ref.startswith("refs/") else f"refs/heads/{self.ref}"


def read(path: Path, protocols: tuple[str, ...]) -> Config:
    """Read the settings; no file stands for the defaults. Raises `EnvError`."""
    try:
        found = tomltext.loads(path.read_text())
    except FileNotFoundError:
        return Config()
    except ValueError as error:
        raise EnvError(f"{path} is not TOML: {error}", fix=FIX) from None
    if isinstance(found.get("channels"), list):
        found["channels"] = tuple(map(str, found["channels"]))
    kinds = {field.name: type(field.default) for field in fields(Config)}
    for name, value in found.items():
        kind = kinds.get(name)
        if kind is None:
            raise EnvError(f"{path}: {name}: there is no such setting", fix=FIX)
        wanted = str if kind is type(None) else kind
        if type(value) is not wanted or (type(value) is int and value < 0):
            raise EnvError(f"{path}: {name}: {value!r} is not allowed", fix=FIX)
    config = Config(**found)
    if config.repository and (problem := refused(config.repository, protocols)):
        raise EnvError(f"{path}: repository: {problem}", fix=FIX)
    if why := no_ref(config.ref):
        raise EnvError(f"{path}: ref: {config.ref!r}: {why}", fix=FIX)
    return config


def no_ref(ref: str) -> str:
    """Why a ref is none that can be followed; empty: it is one."""
    full = Config(ref=ref).full_ref
    if len(full.encode()) > LONGEST:
        return f"it has more than {LONGEST} bytes"
    return "" if REF.fullmatch(full) else "it is neither a branch nor refs/tags/<tag>"


def refused(url: str, protocols: tuple[str, ...]) -> str:
    """Why an address of a repository is not used; empty: it is."""
    if url.startswith("/") and "file" in protocols:
        return ""
    found = _URL.fullmatch(url)
    if not found or _ODD.search(url):
        known = not _ODD.search(url) and place(url)
        return "" if known else f"{url!r} is not an ssh:// or https:// address"
    protocol, login, _, path = found.groups()
    if protocol not in protocols:
        return f"{protocol}:// is not used, only {' and '.join(p + '://' for p in protocols)}"
    if login and ":" in login:
        return "its address holds a password"
    if login and login.startswith("-"):
        return f"{login!r} is not a user"
    if protocol != "file" and not place(url):
        return f"{url!r} names no host, or a port that cannot be"
    return "" if path else f"{url!r} names no repository"


def place(url: str) -> tuple[str, int] | None:
    """Host and port of an address, 0 where it names no port; None where it names no host."""
    found = _URL.fullmatch(url)
    if not found:
        scp = _SCP.fullmatch(url)
        return (scp[1].strip("[]"), 0) if scp else None
    host = _PLACE.fullmatch(found[3])
    port = int(host[2]) if host and host[2] else None
    if not host or (port is not None and not 0 < port < 65536):
        return None
    return (host[1].strip("[]"), port or 0) if _address(host[1]) else None


def _address(host: str) -> bool:
    """A name, or what stands in brackets and is an address."""
    if not host.startswith("["):
        return True
    try:
        return ip_address(host.strip("[]")).version == 6
    except ValueError:
        return False


def host(url: str) -> str:
    """The host that an address names, in small letters; empty: none."""
    found = place(url)
    return found[0].rstrip(".").lower() if found else ""


def resolve(base: str, url: str) -> str:
    """The address of a submodule: a relative one counts from its parent's, as in Git."""
    if not url.startswith(("./", "../")):
        return url
    left = base.rstrip("/")
    while url.startswith(("./", "../")):
        if url.startswith("../"):
            left = re.split(r"[/:][^/:]*$", left)[0]
        url = url.partition("/")[2]
    joint = ":" if base.startswith(f"{left}:") and "://" not in base else "/"
    return f"{left}{joint}{url}"
