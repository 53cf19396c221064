"""Fetch archives, and nothing else: each becomes a file named by its SHA-256. Has the network."""

import asyncio
import hashlib
import os
import re
import tempfile
import urllib.error
import urllib.request
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

from mlops_server.condapart import explain, size
from mlops_server.errors import BadLock, EnvError
from mlops_server.inside.__main__ import say

if TYPE_CHECKING:
    from rattler import Client

SIDE_BY_SIDE = 8
LONG = 5.0
"""Seconds between two lines about a download that is still under way."""
PAGE = 64 << 20
"""Bytes that a page of an index may have."""
SIMPLE = "application/vnd.pypi.simple.v1+html, text/html;q=0.5"


def run(request: dict[str, Any]) -> None:
    """Fetch what is asked for into the folder. Raises `EnvError`."""
    os.environ.update(request["variables"])
    into = Path(request["into"])
    if request["conda"]:
        asyncio.run(_conda(request, into))
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        list(pool.map(lambda one: _wheel(one, request["index"], into), request["wheels"]))


async def _conda(request: dict[str, Any], into: Path) -> None:
    client, places = _client(request), asyncio.Semaphore(SIDE_BY_SIDE)

    async def one(package: dict[str, str]) -> None:
        async with places:
            watching = asyncio.create_task(_watch(package, into / package["sha256"]))
            try:
                await _archive(client, package, into / package["sha256"])
            finally:
                watching.cancel()

    await asyncio.gather(*(one(package) for package in request["conda"]))


def _client(request: dict[str, Any]) -> "Client":
    """With the server's mirrors and logins."""
    from rattler import Client, Config
    from rattler.exceptions import ConfigError

    folder = Path(tempfile.mkdtemp())
    (folder / "auth.json").write_text(request["logins"] or "{}")
    login = f'authentication-override-file = "{folder}/auth.json"\n'
    kept = [line for line in request["config"].splitlines() if not line.startswith("authentic")]
    (folder / "conda.toml").write_text(login + "\n".join(kept))
    try:
        return Client.from_config(Config.load_from_files([folder / "conda.toml"]))
    except ConfigError as error:
        fix = "correct the mirrors in the config, then `mlops-install apply`"
        raise EnvError(f"/etc/mlops/conda.toml is wrong: {error}", fix=fix) from error


async def _archive(client: "Client", package: dict[str, str], path: Path) -> None:
    from rattler.package_streaming import download_to_path

    try:
        await download_to_path(client, package["url"], path)
    except Exception as error:  # rattler has many kinds
        raise explain(f"{package['name']}: {error}") from error
    _judge(package, path)


async def _watch(package: dict[str, str], path: Path) -> None:
    while True:
        await asyncio.sleep(LONG)
        if path.exists():
            say(f"{package['name']} {package['version']}: {size(path.stat().st_size)} so far")


def _judge(package: dict[str, str], path: Path) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != package["sha256"]:
        locked = package["sha256"]
        raise explain(f"{package['url']}: hash mismatch: {locked} is locked, not {found}")
    say(f"{package['name']} {package['version']} ({size(path.stat().st_size)})")


def _wheel(wheel: dict[str, str], index: str, into: Path) -> None:
    """From the index, by its name: a lock leads to no other host."""
    path = into / wheel["sha256"]
    try:
        with _open(_listed(wheel, index)) as answer, path.open("wb") as file:
            while piece := answer.read(1 << 20):
                file.write(piece)
    except urllib.error.HTTPError as error:
        what = f"({error.code} {error.reason}) {_public(error.url)}"
        raise explain(f"{wheel['name']}: {what}") from None
    except OSError as error:
        raise explain(f"{wheel['name']}: error sending request: {error}") from None
    _judge(wheel, path)


def _listed(wheel: dict[str, str], index: str) -> str:
    """Where the index has the file."""
    page = f"{index.rstrip('/')}/{re.sub(r'[-_.]+', '-', wheel['name']).lower()}/"
    with _open(page, SIMPLE) as answer:
        text, base = answer.read(PAGE).decode(errors="replace"), answer.url
    name = unquote(urlsplit(wheel["url"]).path.rpartition("/")[2])
    for found in re.findall(r"""href\s*=\s*["']([^"']+)["']""", text):
        url = urljoin(base, unescape(found))
        if unquote(urlsplit(url).path.rpartition("/")[2]) == name:
            return _with_login(url, index)
    fix = "ask for a version that the index has, then `mlops-install lock`"
    raise BadLock(f"the index has no {name}", fix=fix)


def _with_login(url: str, index: str) -> str:
    """The login of the index goes to its own host only."""
    ours, theirs = urlsplit(index), urlsplit(url)
    same = (ours.scheme, ours.hostname, ours.port) == (theirs.scheme, theirs.hostname, theirs.port)
    return urlunsplit(theirs._replace(netloc=ours.netloc)) if same else url


def _open(url: str, accept: str = "*/*") -> Any:
    parts = urlsplit(url)
    login, at, host = parts.netloc.rpartition("@")
    path = quote(parts.path, safe="/%+~!$&'()*,;=:@")
    asked = urllib.request.Request(  # noqa: S310 - http(s) only: the lock was judged
        urlunsplit(parts._replace(netloc=host, path=path, fragment="")),
        headers={"Accept": accept, "User-Agent": "mlops-install"},
    )
    if at:  # not sent on to where an answer leads
        token = b64encode(unquote(login).encode()).decode()
        asked.add_unredirected_header("Authorization", f"Basic {token}")
    return urllib.request.urlopen(asked, timeout=60)  # noqa: S310


def _public(url: str | None) -> str:
    parts = urlsplit(url or "")
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
