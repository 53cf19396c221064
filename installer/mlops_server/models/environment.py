"""environment.yml: read, judged before any solver sees it, and known again later."""

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import yaml

from mlops_server.models import ProjectError, reading, variables

KNOWN = ("name", "channels", "dependencies", "variables", "prefix")
"""The settings that count, or that (`name`, `prefix`) mean nothing here."""
ELSEWHERE = {
    "platforms": "set [models] platforms in mlops.toml",
    "category": "leave it out: the server installs one category",
    "pip-repositories": "set [base] python_index in mlops.toml",
    "allow-pypi-requests": "set [base] python_index in mlops.toml",
}
LONGEST = 64 * 1024
ANACONDA = {"defaults", "main", "free", "r", "msys2", "anaconda", "pro"}
LICENCE = (
    "Anaconda's own channels need a paid licence in organisations of more than 200 people;"
    " conda-forge is free for everybody"
)
FIX = "in environment.yml write `channels: [conda-forge]`"
SELECTOR = re.compile(r"#.*\[[^\[\]]+\]")
NAME = re.compile(r"(?:[^\s:]+::)?\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


def parse(data: bytes, where: str) -> dict[str, Any]:
    """The file's content, with channels and dependencies that may be locked.

    Raises `ProjectError`.
    """
    if len(data) > LONGEST or has_aliases(data):
        raise ProjectError(
            f"{where} is longer than 64 KiB, or uses aliases of YAML",
            fix="write every value out, and leave out what conda does not need",
        )
    try:
        found = reading.load(data)
    except ValueError as error:
        raise ProjectError(f"{where} is not YAML: {error}", fix="correct that line") from error
    if not isinstance(found, dict):
        raise ProjectError(
            f"{where} is not an environment",
            fix="write `channels:` and `dependencies:`, each with a list",
        )
    _keys(data, found, where)
    _channels(found, where)
    _dependencies(found, where)
    variables.judge(data, where)
    try:
        digest(data, found)
    except (ValueError, TypeError, RecursionError) as error:
        raise ProjectError(
            f"{where} cannot be read: {error}", fix="write plain texts and lists"
        ) from error
    return found


def _keys(data: bytes, found: dict[str, Any], where: str) -> None:
    """Each setting once, and none that would be lost."""
    for line, key in variables.twice(data):
        raise ProjectError(
            f"{where}:{line}: {key} is there twice, and only the last one would count",
            fix="put both into one, or remove one",
        )
    for key in found:
        if key not in KNOWN:
            fix = ELSEWHERE.get(str(key), f"leave it out; known are {', '.join(KNOWN)}")
            raise ProjectError(f"{where}: {key}: there is no such setting here", fix=fix)
    for key in ("name", "prefix"):
        if isinstance(found.get(key), dict | list):
            raise ProjectError(
                f"{where}: {key} is not a text",
                fix="leave it out: the model's name is that of its folder",
            )


def _channels(found: dict[str, Any], where: str) -> None:
    channels = found.get("channels")
    if not isinstance(channels, list) or not set(map(str, channels)) - {"nodefaults"}:
        raise ProjectError(
            f"{where} names no channels, which stands for Anaconda's `defaults`: {LICENCE}", fix=FIX
        )
    for channel in channels:
        if not isinstance(channel, str):
            raise ProjectError(f"{where}: {channel!r} is not a channel", fix=FIX)
        if _is_anaconda(channel, where):
            raise ProjectError(f"{where}: the channel {channel} is refused: {LICENCE}", fix=FIX)
        if "@" in urlsplit(channel).netloc and "$" not in channel:
            raise ProjectError(
                f"{where}: the address of a channel has a login, which would get into the lock",
                fix="set [models] channel_user and channel_password in mlops.toml",
            )


def _is_anaconda(channel: str, where: str) -> bool:
    try:
        url = urlsplit(channel)
    except ValueError as error:
        raise ProjectError(f"{where}: {channel!r} is not a channel: {error}", fix=FIX) from None
    parts = [part for part in url.path.split("/") if part]
    if url.hostname:
        host = url.hostname.removeprefix("www.")
        return host == "repo.anaconda.com" or (
            host in ("conda.anaconda.org", "anaconda.org") and parts[:1] in (["anaconda"], ["main"])
        )
    return parts[:1] == ["pkgs"] or (len(parts) == 1 and parts[0] in ANACONDA)


def _dependencies(found: dict[str, Any], where: str) -> None:
    if not isinstance(found.get("dependencies"), list) or not found["dependencies"]:
        raise ProjectError(
            f"{where} has no dependencies",
            fix="list the packages below `dependencies:`, python among them",
        )
    for dependency in found["dependencies"]:
        if isinstance(dependency, str):
            _virtual(dependency, where)
            channel, colons, _ = dependency.partition("::")
            if colons and _is_anaconda(channel, where):
                fix = f"write {dependency.partition('::')[2]}"
                raise ProjectError(f"{where}: {dependency} is refused: {LICENCE}", fix=fix)
        elif not (isinstance(dependency, dict) and set(dependency) == {"pip"}):
            raise ProjectError(
                f"{where}: {dependency!r} is not a dependency",
                fix="a dependency is a text such as `numpy =2.1`, or a `pip:` list",
            )
        else:
            _pip(dependency["pip"] or [], where)


def _virtual(dependency: str, where: str) -> None:
    if dependency.lstrip().startswith("__"):
        name = dependency.split()[0]
        fix = "leave it out"
        if name.startswith("__cuda"):
            fix = 'leave it out, and set `cuda = "12.8"` in model.toml or [models]'
        raise ProjectError(f"{where}: {name} is a property of a machine, not a package", fix=fix)


def _pip(requirements: Any, where: str) -> None:
    for one in requirements if isinstance(requirements, list) else [requirements]:
        if not isinstance(one, str) or one.startswith(("-", ".", "/")) or "git+" in one:
            raise ProjectError(
                f"{where}: pip: {one!r} cannot be locked with a hash",
                fix="name a package and a version, and put code of your own beside environment.yml",
            )


def digest(data: bytes, found: dict[str, Any]) -> str:
    """What a lock is made from, in 64 hex digits: comments and layout do not count.

    Comments such as `# [linux]` do: conda-lock takes lines away by them.
    """
    lines = reading.text(data).splitlines()
    selected = [line.strip() for line in lines if SELECTOR.search(line)]
    text = json.dumps([found, selected], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def requests(data: bytes) -> Iterator[tuple[int, str, str]]:
    """Line number, name in lower case, and text of every package asked for."""
    root = yaml.compose(reading.text(data), Loader=reading.loader())
    for key, value in root.value if isinstance(root, yaml.MappingNode) else ():
        if key.value == "dependencies":
            yield from _nodes(value)


def _nodes(node: yaml.Node) -> Iterator[tuple[int, str, str]]:
    if isinstance(node, yaml.ScalarNode):
        if name := NAME.match(node.value):
            yield node.start_mark.line + 1, name[1].lower(), node.value
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _nodes(item)
    elif isinstance(node, yaml.MappingNode):
        for _, item in node.value:
            yield from _nodes(item)


def has_aliases(data: bytes) -> bool:
    """Whether YAML refers to parts of itself, by which a few lines can stand for gigabytes.

    What cannot be read at all has none.
    """
    try:
        return any(
            isinstance(e, yaml.AliasEvent) for e in yaml.parse(data, Loader=reading.loader())
        )
    except (yaml.YAMLError, UnicodeDecodeError):
        return False
