"""Whether a file is a backup at all, by what it begins with: judged before it goes anywhere."""

from pathlib import Path

from mlops_server.backup import parts
from mlops_server.errors import EnvError

AGE = b"age-encryption.org/v1\n"
ARMOURED = (b"-----BEGIN AGE ENCRYPTED FILE-----", b"-----BEGIN PGP MESSAGE-----")
PACKED = {
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"PK\x03\x04": "zip",
}
TAR = b"ustar"
"""At byte 257 of a tar's first header."""
HEAD = 512


def seal(path: Path) -> str:
    """How a file is encrypted: `age`, `gpg`, or empty for a plain archive.

    Raises `EnvError` for what is no backup.
    """
    with path.open("rb") as file:
        head = file.read(HEAD)
    if head.startswith(AGE):
        return "age"
    if _by_passphrase(head):
        return "gpg"
    if head[257:262] == TAR:
        return ""
    raise EnvError(f"{path} is not a backup: {_what(head)}", fix="name a file that `backup` made")


def prove(path: Path) -> tuple[str, parts.Manifest]:
    """How it is encrypted, and the manifest of a plain archive, which is read to its end.

    What is encrypted keeps its manifest to itself. Raises `EnvError`.
    """
    kind = seal(path)
    if kind:
        return kind, {}
    with path.open("rb") as file:
        return "", parts.read(file)


def _by_passphrase(head: bytes) -> bool:
    """Whether it begins as gpg begins: a packet for a session key from a passphrase (RFC 9580).

    One byte is too little to tell: many a text in another encoding has it too.
    """
    if len(head) < 6 or head[0] not in (0x8C, 0xC3):
        return False
    length, version, cipher, s2k = head[1], head[2], head[3], head[4]
    return 4 <= length < 192 and version in (4, 5, 6) and cipher < 32 and s2k < 32


def _what(head: bytes) -> str:
    """What it looks like, in words."""
    if not head:
        return "it is empty"
    if head.startswith(ARMOURED):
        return "it is armoured text (`gpg --dearmor`, or `age -d`, makes it binary)"
    for start, name in PACKED.items():
        if head.startswith(start):
            return f"it is packed by {name}, and an archive of `backup` is not"
    if head[0] in (0x84, 0x85, 0xC1):
        return "it is encrypted by gpg for a key, and not by a passphrase"
    return "it is neither a tar nor encrypted by age or gpg"
