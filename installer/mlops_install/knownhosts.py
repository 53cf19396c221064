"""known_hosts files, read as OpenSSH reads them: a line that is none is passed over."""

import base64
import binascii
import contextlib
import fnmatch
import hashlib
import hmac
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

AUTHORITY, REVOKED = "@cert-authority", "@revoked"


@dataclass(frozen=True)
class Line:
    """A key in a file. `marker` is empty, @cert-authority or @revoked; `place`: file:line."""

    marker: str
    hosts: str
    kind: str
    key: bytes
    place: str

    def is_for(self, name: str) -> bool:
        """Whether its names fit: comma-separated, with * and ? and !, or hashed."""
        if self.hosts.startswith("|"):
            return _hashed(self.hosts, name)
        patterns = [p.lower() for p in self.hosts.split(",")]
        refused = any(p[:1] == "!" and _like(name, p[1:]) for p in patterns)
        return not refused and any(_like(name, p) for p in patterns if p[:1] != "!")


def name(host: str, port: int) -> str:
    """How a server is called in the files."""
    return host if port == 22 else f"[{host}]:{port}"


def read(files: Iterable[Path]) -> Iterator[Line]:
    """All keys in the files, in order. A file that cannot be read counts as empty."""
    for file in files:
        with contextlib.suppress(OSError, ValueError):
            yield from lines(file.read_bytes().decode(errors="replace"), str(file))


def lines(text: str, file: str) -> Iterator[Line]:
    """All keys in the text of a file, in order."""
    for number, line in enumerate(text.split("\n"), 1):
        if found := _line(line, f"{file}:{number}"):
            yield found


def known(lines: Iterable[Line], host: str, port: int) -> list[Line]:
    """Those of a server; where its port has no key, those of the host too, as OpenSSH does."""
    every = list(lines)
    found = [line for line in every if line.is_for(name(host, port))]
    plain = [line for line in found if not line.marker]
    if port != 22 and not plain:
        found += [line for line in every if line.is_for(host)]
    return found


def add(file: Path, host: str, kind: str, key: str) -> None:
    """Write a key down, after a last line that may have no end."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with file.open("ab+") as out:
        out.seek(0, 2)
        if out.tell():
            out.seek(-1, 2)
            out.write(b"" if out.read(1) == b"\n" else b"\n")
        out.write(f"{host} {kind} {key}\n".encode())


def _line(text: str, place: str) -> Line | None:
    words = text.split()
    marker = words.pop(0) if words and words[0] in (AUTHORITY, REVOKED) else ""
    if len(words) < 3 or words[0].startswith(("#", "@")):
        return None
    hosts, kind, key = words[:3]
    blob = public_key(kind, key)
    return Line(marker, hosts, kind, blob, place) if blob else None


def public_key(kind: str, key: str) -> bytes:
    """What stands behind the letters of a key of this kind; empty where it is none, or cut."""
    try:
        blob = base64.b64decode(key.encode(), validate=True)
    except (binascii.Error, ValueError):
        return b""
    return blob if _whole(blob, kind) else b""


def _whole(blob: bytes, kind: str) -> bool:
    """A key is a row of strings, each behind its length; the first names its kind."""
    parts, at = [], 0
    while at + 4 <= len(blob):
        (length,) = struct.unpack_from(">I", blob, at)
        parts.append(blob[at + 4 : at + 4 + length])
        at += 4 + length
    return at == len(blob) and len(parts) > 1 and parts[0] == kind.encode()


def _hashed(hosts: str, name: str) -> bool:
    try:
        _, version, salt, wanted = hosts.split("|")
        found = hmac.new(base64.b64decode(salt), name.lower().encode(), hashlib.sha1).digest()
        return version == "1" and hmac.compare_digest(found, base64.b64decode(wanted))
    except (ValueError, binascii.Error):
        return False


def _like(name: str, pattern: str) -> bool:
    # In these files [ and ] are letters, as in [host]:2222.
    return fnmatch.fnmatchcase(name.lower(), pattern.replace("[", "[[]"))
