"""`mlops-conda-solver`: what conda-lock asks of a conda, answered by rattler, without a conda.

It solves and never installs. conda-lock calls it with the last channel being its own, made of
virtual packages. Environment variables of ours change it:

- MLOPS_RATTLER_CONFIG: file with rattler's configuration, with mirrors and logins
- MLOPS_CONDA_KEEP: file with URLs of packages, one a line, that stay where they fit
- MLOPS_CONDA_UPDATE: names of packages that get their newest version all the same
- MLOPS_CONDA_CACHE: a folder for the channels' indexes, instead of rattler's own
- MLOPS_CONDA_FAILURE: file to leave a failure in, as JSON: kind, message, near, versions
"""

import argparse
import asyncio
import difflib
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

from mlops_install import __version__

UNKNOWN = re.compile(r"No candidates were found for ([A-Za-z0-9_.-]+)")
NETWORK = ("GatewayError", "FetchRepoDataError", "IoError")


def main() -> NoReturn:
    """Answer one call, and end without the interpreter's own shutdown.

    rattler's threads may still run then, and crash a process that ends in the usual way.
    """
    code = 1
    try:
        code = answer(sys.argv[1:], os.environ)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def answer(words: Sequence[str], environment: Mapping[str, str]) -> int:
    """Write the answer to one call on stdout; the exit code is 1 when there is no solution."""
    said, _ = _parser().parse_known_args(words)
    if said.command == "info":
        _write({"pkgs_dirs": [], "conda_version": __version__})
    elif said.command == "list":
        _write([_installed(entry) for entry in _prefix(said.prefix)])
    else:
        return asyncio.run(_solved(said, environment))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mlops-conda-solver", description=__doc__)
    parser.add_argument("--version", action="version", version=f"mlops-conda-solver {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("create", "install", "list", "info"):
        command = commands.add_parser(name)
        command.add_argument("--prefix", "-p", type=Path)
        command.add_argument("--channel", "-c", action="append", default=[])
        for flag in ("--json", "--dry-run", "--override-channels", "--no-pip"):
            command.add_argument(flag, action="store_true")
        command.add_argument("specs", nargs="*")
    return parser


def _write(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")


# --- solving ------------------------------------------------------------------------------


async def _solved(said: argparse.Namespace, environment: Mapping[str, str]) -> int:
    subdir = environment.get("CONDA_SUBDIR", "linux-64")
    channels, virtual = _channels(said.channel, subdir)
    gateway = _gateway(environment)
    try:
        _write(await _plan(said, environment, gateway, channels, virtual, subdir))
    except Exception as error:
        failure = await _failure(error, gateway, channels, subdir)
        _write(failure)
        if path := environment.get("MLOPS_CONDA_FAILURE"):
            Path(path).write_text(json.dumps(failure))
        return 1
    return 0


async def _plan(
    said: argparse.Namespace,
    environment: Mapping[str, str],
    gateway: Any,
    channels: list[str],
    virtual: list[Any],
    subdir: str,
) -> dict[str, Any]:
    """What would be fetched and linked, in conda's words."""
    specs, keep, there = list(said.specs), _kept(environment), set()
    update = set(environment.get("MLOPS_CONDA_UPDATE", "").split())
    if said.command == "install":
        entries = _prefix(said.prefix)
        there = {entry["url"] for entry in entries}
        update = {_spec_name(spec) for spec in specs}
        others = [entry for entry in entries if entry["name"] not in update]
        keep = [entry["url"] for entry in others]
        specs += [entry["name"] for entry in others]

    async def solution(locked: list[Any], constraints: list[str]) -> list[Any]:
        return await _solve(gateway, channels, virtual, subdir, specs, locked, constraints)

    kept = await _current(gateway, channels, subdir, keep)
    newest: list[str] = []
    if kept and update:
        # What is kept may hold an update back: the newest versions are found without it first.
        free = [r for r in await solution([], []) if r.name.normalized in update]
        newest = [f"{r.name.normalized} =={r.version} {r.build}" for r in free]
    new = [r for r in await solution(kept, newest) if str(r.url) not in there]
    return {
        "success": True,
        "actions": {"FETCH": [_fetch(r) for r in new], "LINK": [_link(r) for r in new]},
    }


async def _solve(
    gateway: Any,
    channels: list[str],
    virtual: list[Any],
    subdir: str,
    specs: list[str],
    locked: list[Any],
    constraints: list[str],
) -> list[Any]:
    from rattler import MatchSpec, solve

    return await solve(
        channels,
        # conda-lock writes `numpy 1.26.4` for ==1.26.4, which only the lenient reading takes
        [MatchSpec(spec, strict=False) for spec in specs],
        gateway=gateway,
        platforms=[subdir, "noarch"],  # type: ignore[list-item]
        locked_packages=locked,
        virtual_packages=virtual,
        constraints=constraints,
    )


def _channels(said: list[str], subdir: str) -> tuple[list[str], list[Any]]:
    """The channels, and the virtual packages of the last one where that is conda-lock's own."""
    if not said or not said[-1].startswith("file://"):
        return said, []
    from rattler import GenericVirtualPackage, PackageName, Version
    from rattler.package import BuildString

    packages: dict[str, dict[str, Any]] = {}
    for folder in ("noarch", subdir):
        index = Path(unquote(urlsplit(said[-1]).path)) / folder / "repodata.json"
        packages.update(json.loads(index.read_text())["packages"] if index.exists() else {})
    return said[:-1], [
        GenericVirtualPackage(
            PackageName(entry["name"]), Version(entry["version"]), BuildString(entry["build"])
        )
        for entry in packages.values()
    ]


def _gateway(environment: Mapping[str, str]) -> Any:
    from rattler import Client, Config, Gateway

    path, cache = (environment.get(f"MLOPS_{name}") for name in ("RATTLER_CONFIG", "CONDA_CACHE"))
    config = Config.load_from_files([path]) if path else Config()
    client = Client.from_config(config, max_retries=2)
    return Gateway.from_config(config, cache_dir=Path(cache) if cache else None, client=client)


# --- what is there already ----------------------------------------------------------------


def _kept(environment: Mapping[str, str]) -> list[str]:
    path = environment.get("MLOPS_CONDA_KEEP")
    return Path(path).read_text().split() if path else []


def _prefix(prefix: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(prefix.glob("conda-meta/*.json"))]


async def _current(
    gateway: Any, channels: list[str], subdir: str, urls: Iterable[str]
) -> list[Any]:
    """Records of these packages as the channels have them today; what is gone is left out."""
    wanted = set(urls)
    names = sorted({_file_name(url).rsplit("-", 2)[0] for url in wanted})
    if not names:
        return []
    found = await gateway.query(channels, [subdir, "noarch"], names, recursive=False)
    return [record for records in found for record in records if str(record.url) in wanted]


def _file_name(url: str) -> str:
    return url.rsplit("/", 1)[1]


def _spec_name(spec: str) -> str:
    return re.split(r"[\s=<>!~\[]", spec.split("::")[-1].strip(), maxsplit=1)[0].lower()


# --- conda's words ------------------------------------------------------------------------


def _fetch(record: Any) -> dict[str, Any]:
    """A package in full, as in the index of its channel."""
    return {
        "name": record.name.normalized,
        "version": str(record.version),
        "build": str(record.build),
        "build_number": record.build_number,
        "channel": record.channel,
        "subdir": record.subdir,
        "fn": _file_name(str(record.url)),
        "url": str(record.url),
        "md5": record.md5.hex() if record.md5 else "",
        "sha256": record.sha256.hex() if record.sha256 else None,
        "depends": list(record.depends),
        "constrains": list(record.constrains),
    }


def _link(record: Any) -> dict[str, Any]:
    return {
        "name": record.name.normalized,
        "version": str(record.version),
        "base_url": str(record.url).rsplit("/", 2)[0],
        "channel": record.channel,
        "dist_name": _stem(_file_name(str(record.url))),
        "platform": record.subdir,
    }


def _installed(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": entry["name"],
        "version": entry["version"],
        "base_url": entry["url"].rsplit("/", 2)[0],
        "channel": entry["channel"],
        "dist_name": _stem(_file_name(entry["url"])),
        "platform": entry["subdir"],
    }


def _stem(file_name: str) -> str:
    return file_name.removesuffix(".conda").removesuffix(".tar.bz2")


async def _failure(
    error: Exception, gateway: Any, channels: list[str], subdir: str
) -> dict[str, Any]:
    """kind: conflict, network or other; what the channels have for names without candidates."""
    kind = type(error).__name__
    kind = "conflict" if kind == "SolverError" else "network" if kind in NETWORK else "other"
    failure = {"success": False, "kind": kind, "message": str(error), "near": {}, "versions": {}}
    wanted = {name.rstrip(".") for name in UNKNOWN.findall(str(error))}
    if wanted and kind == "conflict":
        names = {n.normalized for n in await gateway.names(channels, [subdir, "noarch"])}
        unknown = sorted(wanted - names)
        failure["near"] = {name: difflib.get_close_matches(name, names) for name in unknown}
        known = sorted(wanted & names)
        failure["versions"] = {n: await _versions(gateway, channels, subdir, n) for n in known}
    return failure


async def _versions(gateway: Any, channels: list[str], subdir: str, name: str) -> list[str]:
    """The newest five versions of a package."""
    found = await gateway.query(channels, [subdir, "noarch"], [name], recursive=False)
    versions = {record.version for records in found for record in records}
    return [str(version) for version in sorted(versions, reverse=True)[:5]]


if __name__ == "__main__":
    main()
