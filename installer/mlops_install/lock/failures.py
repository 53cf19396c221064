"""Why a lock could not be made: in the solver's words, with the lines that asked for it."""

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from mlops_install.errors import ConfigError, MlopsError
from mlops_install.lock.environment import requests
from mlops_install.lock.project import Source
from mlops_install.lock.tools import GLIBC

TAIL = 15
RAISED = re.compile(r"^(?:[\w.]*\.)?(\w*(?:Error|Exception|NotFound|Problem\w*))(?:: (.*))?$")
NAMES = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
URL = re.compile(r"https?://[^\s()'\"]+")
OFFLINE = ("Connection", "Timeout", "NameResolution", "Max retries", "RepositoryError")


def of_solver(source: Source, failure: Mapping[str, Any]) -> MlopsError:
    """What our solver left: a conflict, an unknown package, a channel that does not answer."""
    message = failure["message"].strip()
    if failure["kind"] == "network":
        return _network(source, message)
    offered = _offered(failure)
    if failure["kind"] != "conflict":
        what = "the packages cannot be resolved"
    elif offered and "cannot be installed" not in message:
        what = "no channel has what is asked for"
    else:
        what = "the packages asked for do not go together"
    return ConfigError(
        f"models/{source.name}: {what}",
        detail="\n".join([message, *_asked(source, message), *offered]),
        fix=_conflict_fix(source, message),
    )


def _conflict_fix(source: Source, message: str) -> str:
    if "__cuda" in message:
        return 'give the version of the server\'s driver: `cuda = "12.8"` in model.toml or [models]'
    if "__glibc" in message:
        return f"take an older version: the server's C library counts as {GLIBC}, Debian 12's"
    return f"change {source.where}"


def _offered(failure: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, near in failure.get("near", {}).items():
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        if not name.startswith("__"):
            lines.append(f"no channel has {name}{hint}")
    for name, versions in failure.get("versions", {}).items():
        lines.append(f"the newest versions of {name} are {', '.join(versions)}")
    return lines


def _asked(source: Source, message: str) -> Iterable[str]:
    """The lines of environment.yml that ask for a package of the message."""
    named = {name.strip(".").lower() for name in NAMES.findall(message)}
    for line, name, text in requests(source.environment):
        if name in named or name.replace("_", "-") in named:
            yield f"{source.where}:{line}: {text}"


def _network(source: Source, message: str) -> MlopsError:
    url = URL.search(message)
    host = urlsplit(url[0]).netloc if url else "a channel"
    start = f"models/{source.name}:"
    if found := re.search(r"\b(401|403)\b", message):
        return ConfigError(
            f"{start} {host} refused us ({found[1]})",
            detail=message,
            fix="set [models] channel_user and channel_password",
        )
    if "404" in message or "could not find subdir" in message:
        return ConfigError(
            f"{start} there is no such channel, or not for this platform",
            detail=message,
            fix=f"correct `channels` in {source.where}, or [models] channel_mirrors",
        )
    if "certificate" in message:
        return MlopsError(
            f"{start} the certificate of {host} is not trusted on this machine",
            detail=message,
            fix="set SSL_CERT_FILE (and REQUESTS_CA_BUNDLE, for pip) to the authority's file",
        )
    return MlopsError(
        f"{start} {host} cannot be reached",
        detail=message,
        fix="check the network and the proxy, or set [models] channel_mirrors",
    )


def of_condalock(source: Source, output: str) -> MlopsError:
    """What conda-lock said last, without its traceback: mostly about a pip section."""
    name, words = _raised(output)
    detail = "\n".join([*words, *_asked(source, "\n".join(words))])
    if any(word in name or word in "\n".join(words) for word in OFFLINE):
        return MlopsError(
            f"models/{source.name}: the Python index cannot be reached",
            detail=detail,
            fix="check the network, or set [base] python_index",
        )
    return ConfigError(
        f"models/{source.name}: conda-lock cannot lock it",
        detail=detail,
        fix=f"change {source.where}; an index that wants a login shows no packages",
    )


def _raised(output: str) -> tuple[str, list[str]]:
    """Name and words of the last exception; where there is none, the last lines."""
    lines = [line.rstrip() for line in output.splitlines()]
    for at in range(len(lines) - 1, -1, -1):
        if found := RAISED.match(lines[at]):
            words = [found[2] or found[1], *lines[at + 1 :]]
            return found[1], [word for word in words if word.strip()][:TAIL]
    return "", [line for line in lines if line][-TAIL:]
