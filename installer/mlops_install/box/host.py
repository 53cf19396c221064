"""What a box takes over from this machine, as files to write into it.

It shall reach the package registries exactly as this machine does, so apt's mirrors and
proxies, added certificate authorities, pip's index and proxies are read here, at run time.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mlops_install.box.tools import KEYRING, run

CERTIFICATES = Path("/usr/local/share/ca-certificates")
PROXY_VARIABLES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
CA_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT")
BUNDLES = ("/etc/ssl/certs", "/etc/ssl/certs/ca-certificates.crt")
APT_OPTION = re.compile(
    r'^(Acquire::(?:https?::(?:\S+::)?Proxy(?:::\S+)?|Check-Valid-Until|Check-Date)) "(.+)";$', re.I
)


@dataclass(frozen=True)
class Source:
    """One apt source: where a mirror is and which suites and components to take from it."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]

    def deb822(self) -> str:
        """The paragraph of a `.sources` file."""
        return (
            f"Types: deb\nURIs: {self.uri}\nSuites: {' '.join(self.suites)}\n"
            f"Components: {' '.join(self.components)}\nSigned-By: {KEYRING}\n"
        )

    def one_line(self) -> list[str]:
        """The same as lines of a `.list` file, one per suite."""
        tail = " ".join(self.components)
        return [f"deb [signed-by={KEYRING}] {self.uri} {suite} {tail}" for suite in self.suites]


def apt_sources(codename: str) -> list[Source]:
    """Debian's own mirrors as this machine uses them, for the Debian release `codename`.

    None when this machine is not Debian or names none: mmdebstrap knows Debian's own.
    """
    root = Path("/etc/apt")
    lines = [root / "sources.list", *sorted(root.glob("sources.list.d/*.list"))]
    own = _os_release().get("VERSION_CODENAME", "")
    found: list[Source] = []
    if own and _os_release().get("ID") == "debian":
        for path in sorted(root.glob("sources.list.d/*.sources")):
            found += parse_deb822(_read(path), own, codename)
        for path in lines:
            found += parse_one_line(_read(path), own, codename)
    return list(dict.fromkeys(found))


def parse_deb822(text: str, own: str, codename: str) -> list[Source]:
    """Debian's entries of a `.sources` file, with `own` (this release) replaced by `codename`."""
    found: list[Source] = []
    text = re.sub(r"^#.*\n?", "", text, flags=re.M)
    for paragraph in re.split(r"\n\s*\n", text):
        fields = {
            key.lower(): value.split()
            for key, value in re.findall(r"^([\w-]+):((?:.*)(?:\n[ \t].*)*)", paragraph, re.M)
        }
        if "deb" not in fields.get("types", []) or fields.get("enabled") == ["no"]:
            continue
        signed = " ".join(fields.get("signed-by", []))
        suites, components = fields.get("suites", []), fields.get("components", [])
        for uri in fields.get("uris", []):
            found += _debian(uri, suites, components, signed, own, codename)
    return found


def parse_one_line(text: str, own: str, codename: str) -> list[Source]:
    """Debian's entries of a `.list` file, with `own` (this release) replaced by `codename`."""
    found: list[Source] = []
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)", line)
        if match:
            options, uri, suite, components = match.groups()
            signed = re.search(r"signed-by=(\S+)", options or "", re.I)
            key = signed[1] if signed else ""
            found += _debian(uri, [suite], components.split(), key, own, codename)
    return found


def _debian(
    uri: str, suites: list[str], components: list[str], signed: str, own: str, codename: str
) -> list[Source]:
    """The entry for the box, or nothing when it is somebody else's.

    Others sign with a key of their own and seldom call their component main.
    """
    ours = tuple(
        codename + suite.removeprefix(own)
        for suite in suites
        if suite in (own, f"{own}-updates", f"{own}-security")
    )
    foreign = "main" not in components or (signed and "debian-archive" not in signed)
    if not ours or foreign:
        return []
    uris = [u for u in _expand(uri) if urlsplit(u).scheme in ("http", "https")]
    return [Source(u, ours, tuple(components)) for u in uris]


def _expand(uri: str) -> list[str]:
    """The mirrors in the list that a mirror+file: URI names, else just `uri`."""
    if not uri.startswith("mirror+file:"):
        return [uri]
    lines = _read(Path(urlsplit(uri).path)).splitlines()
    return [line.split()[0] for line in lines if line.strip() and not line.startswith("#")][:1]


def apt_options(dump: str) -> dict[str, str]:
    """The settings in `apt-config dump` that decide how mirrors are reached."""
    matches = (APT_OPTION.match(line) for line in dump.splitlines())
    return {m[1]: m[2] for m in matches if m and _beyond_loopback(m[2])}


def settings(codename: str) -> dict[str, str]:
    """The files (path in the box -> text) that make the box reach registries as this machine."""
    apt = apt_options(run("apt-config", "dump")) if shutil.which("apt-config") else {}
    files = {
        "/etc/apt/sources.list.d/debian.sources": "\n".join(
            source.deb822() for source in apt_sources(codename)
        ),
        "/etc/apt/apt.conf.d/90host": "".join(f'{k} "{v}";\n' for k, v in apt.items()),
        "/etc/resolv.conf": _resolv_conf(),
        "/etc/environment": environment(os.environ),
        **index_files(_index_url(os.environ)),
        **{str(path): _read(path) for path in sorted(CERTIFICATES.glob("*.crt"))},
    }
    return {path: text for path, text in files.items() if text}


def environment(variables: Mapping[str, str]) -> str:
    """/etc/environment: this machine's proxies and its pointers to the system's certificates.

    Certificate variables count only when they name the bundle that a box has as well.
    """
    proxies = (*PROXY_VARIABLES, *(name.upper() for name in PROXY_VARIABLES))
    kept = {name: variables[name] for name in proxies if _beyond_loopback(variables.get(name, ""))}
    kept |= {name: variables[name] for name in CA_VARIABLES if variables.get(name) in BUNDLES}
    return "".join(f"{name}={value}\n" for name, value in kept.items())


def index_files(url: str) -> dict[str, str]:
    """pip's and uv's system-wide settings for the package index `url`; none without one.

    Nor for one in a directory or on a loopback address of this machine: a box cannot reach it.
    """
    reachable = urlsplit(url).scheme in ("http", "https") and _beyond_loopback(url)
    if not reachable:
        return {}
    pip = f"[global]\nindex-url = {url}\n"
    uv = f'[[index]]\nurl = "{url}"\ndefault = true\n'
    return {"/etc/pip.conf": pip, "/etc/uv/uv.toml": uv}


def _index_url(variables: Mapping[str, str]) -> str:
    for name in ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        if variables.get(name):
            return variables[name]
    pip = [shutil.which("pip")] if shutil.which("pip") else [sys.executable, "-m", "pip"]
    words = [word for word in pip if word]
    done = subprocess.run(
        [*words, "config", "get", "global.index-url"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def _beyond_loopback(url: str) -> bool:
    """Whether the URL (or other text) is there and is not a service of this machine alone."""
    name = urlsplit(url).hostname or ""
    return bool(url) and not (name in ("localhost", "::1") or name.startswith("127."))


def _resolv_conf() -> str:
    """This machine's resolvers; those behind systemd-resolved, as a box cannot reach a loopback."""
    own = _read(Path("/etc/resolv.conf"))
    real = _read(Path("/run/systemd/resolve/resolv.conf"))
    loopback = re.search(r"^nameserver\s+(127\.|::1)", own, re.M)
    return real if loopback and real else own


def _os_release() -> dict[str, str]:
    pairs = re.findall(r'^(\w+)="?([^"\n]*)"?$', _read(Path("/etc/os-release")), re.M)
    return dict(pairs)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
