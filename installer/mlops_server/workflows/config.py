"""/etc/mlops/workflows.toml: which repository to pull, and its limits. Strict."""

import re
import tomllib
from dataclasses import dataclass, fields
from ipaddress import ip_address
from pathlib import Path

from mlops_server.errors import EnvError
from mlops_server.models import sources

FIX = "correct [workflows] in mlops.toml, then `mlops-install apply`"
REF = re.compile(r"refs/(?:heads|tags)/(?!.*(?:\.\.|//|\.lock$))[^\x00-\x20\x7f~^:?*\[\\]+")
_SCP = re.compile(r"(?:[\w.-]+@)?(?:[A-Za-z0-9][\w.-]*|\[[0-9a-fA-F:]+\]):(?!:|//)\S+")
_SCP_HOST = re.compile(r"^[\w.-]+@")
_URL = re.compile(r"([a-z][a-z0-9+-]*)://(?:([^/@\s]*)@)?([^/@\s-][^/@\s]*)?/\S*")


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
        found = tomllib.loads(path.read_text())
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
    if not REF.fullmatch(config.full_ref):
        raise EnvError(
            f"{path}: ref: {config.ref!r} is neither a branch nor refs/tags/<tag>", fix=FIX
        )
    return config


def refused(url: str, protocols: tuple[str, ...]) -> str:
    """Why an address of a repository is not used; empty: it is."""
    if url.startswith("/") and "file" in protocols:
        return ""
    found = _URL.fullmatch(url)
    if not found:
        return "" if _SCP.fullmatch(url) else f"{url!r} is not an ssh:// or https:// address"
    protocol, login, host = found.groups()
    if protocol not in protocols:
        return f"{protocol}:// is not used, only {' and '.join(p + '://' for p in protocols)}"
    if login and ":" in login:
        return "its address holds a password"
    return "" if host or protocol == "file" else f"{url!r} names no host"


def host(url: str) -> str:
    """The host that an address names, in small letters; empty: none."""
    found = _URL.fullmatch(url)
    name = (found[3] or "") if found else _SCP_HOST.sub("", url)
    inner = re.match(r"\[([^\]]*)\]", name)
    return (inner[1] if inner else name.partition(":")[0]).rstrip(".").lower()


def is_here(url: str) -> bool:
    """Whether an address is on the machine itself, or one that only machines of a cloud ask."""
    name = host(url)
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name)
        address = getattr(address, "ipv4_mapped", None) or address
    except ValueError:
        return bool(re.fullmatch(r"[0-9.]+|0x[0-9a-f.x]+", name))  # 127.1, 0x7f000001
    return address.is_loopback or address.is_link_local or address.is_unspecified


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
