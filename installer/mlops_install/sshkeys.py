"""The keys that are offered to a server, and in which order.

A server ends a login after a few keys that it does not want (`MaxAuthTries`, six by default), so
the ones that the ssh config names come first, and with `IdentitiesOnly` no other key of the agent.
A key may be a file, or in the agent while only its public part is a file, as with gpg, a security
key or a password manager. A certificate goes before its bare key, as with ssh.
"""

import base64
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import paramiko
from paramiko.pkey import PublicBlob
from paramiko.ssh_exception import AuthenticationException, SSHException

from mlops_install.sshconfig import Way

SECOND = {"keyboard-interactive", "password"}
"""What a server may want beside a key."""
MAGIC = b"openssh-key-v1\0"


class TooManyKeys(AuthenticationException):
    """The server ended the login before all keys were offered."""


class Keys:
    """What paramiko's client calls to log in."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self._flaws: list[str] = []

    def authenticate(self, transport: paramiko.Transport) -> None:
        """Offer key after key until one is taken. Raises `SSHException` when none is."""
        tried = 0
        for key in self._offered():
            if not transport.is_active():
                raise TooManyKeys(f"it ended the login after {tried} keys that it does not know")
            tried += 1
            with suppress(SSHException):
                if SECOND & set(transport.auth_publickey(self._way.user, key)):
                    transport.auth_interactive_dumb(self._way.user)
                return
        said = "it knows none of the keys" if tried else "there is no key to offer"
        raise AuthenticationException("; ".join([said, *self._flaws]))

    def _offered(self) -> Iterator[Any]:
        way = self._way
        held = [] if way.agent == "none" else list(paramiko.Agent().get_keys())
        certificates = [*filter(None, map(_certificate, way.certificates))]
        named = [public_part(path) for path in way.identities]
        for path, public in zip(way.identities, named, strict=True):
            beside = [*filter(None, [_certificate(f"{path}-cert.pub")])]
            for key in [key for key in held if _is_of(key, public)] or self._from_file(path):
                yield from _with(key, [*beside, *certificates])
        for key in held:
            if not way.only_named and not any(_is_of(key, public) for public in named):
                yield from _with(key, certificates)

    def _from_file(self, path: str) -> list[Any]:
        try:
            return [paramiko.PKey.from_path(path)]
        except Exception as error:  # of the library below, whatever the file holds
            if Path(path).is_file() and not path.endswith(".pub"):
                self._flaws.append(f"{path}: {str(error).strip() or type(error).__name__}")
            return []


def public_part(path: str) -> bytes:
    """The public key that belongs to a file; empty where it cannot be told."""
    for file in (Path(path), Path(f"{path}.pub")):
        with suppress(OSError, ValueError, IndexError, SSHException):
            data = file.read_bytes()
            if data.startswith(b"-----BEGIN OPENSSH PRIVATE KEY"):
                return _of_private(data)
            kind, key, *_ = data.decode().split()
            if kind.startswith(("ssh-", "ecdsa-", "sk-")):
                return PublicBlob.from_string(f"{kind} {key}").key_blob
    return b""


def _of_private(data: bytes) -> bytes:
    """Its public part is not encrypted, the private one may be."""
    packed = base64.b64decode(b"".join(data.split(b"-----")[2].split()))
    message = paramiko.Message(packed.removeprefix(MAGIC))
    for _ in range(3):  # cipher, and how the password is made into its key
        message.get_string()
    message.get_int()
    return message.get_string()


def _with(key: Any, certificates: list[PublicBlob]) -> Iterator[Any]:
    """The key with each certificate that is about it, then alone."""
    if "-cert-" in key.get_name():  # an agent lists the key and its certificate
        key.public_blob = PublicBlob(key.get_name(), key.blob)
        yield key
        return
    for certificate in certificates:
        if about(certificate.key_blob, key.asbytes()):
            key.public_blob = certificate
            yield key
    key.public_blob = None
    yield key


def _is_of(key: Any, public: bytes) -> bool:
    """Whether a key of the agent, or its certificate, is the one with this public part."""
    return bool(public) and (key.blob == public or about(key.blob, public))


def about(certificate: bytes, public: bytes) -> bool:
    """Whether a certificate is about a key: it has the key's numbers behind a nonce."""
    has, wanted = paramiko.Message(certificate), paramiko.Message(public)
    kind = has.get_string()
    has.get_string(), wanted.get_string()
    return b"-cert-" in kind and has.get_remainder().startswith(wanted.get_remainder())


def _certificate(path: str) -> PublicBlob | None:
    try:
        return PublicBlob.from_file(path)
    except (OSError, ValueError, SSHException):  # there is none, or none that can be read
        return None
