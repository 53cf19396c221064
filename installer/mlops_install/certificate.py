"""The user's certificate, judged before the server is touched: would nginx and browsers take it?"""

import contextlib
import ipaddress
import re
import warnings
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import certifi
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from mlops_install.errors import ConfigError

CERTIFICATE, KEY = ("proxy", "certificate"), ("proxy", "certificate_key")
BUNDLE = ("base", "ca_bundle")
TRUST = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
         "/etc/ssl/cert.pem")  # fmt: skip
"""Where systems keep the authorities that they trust."""
WEAK = ("md5", "sha1")
RSA_BITS = 2048
FIRST = "put the server's own certificate first in the file, then those of its authorities"


def check(chain: str, key: str, authorities: str, now: datetime | None = None) -> None:
    """Judge the pair and its chain. Raises `ConfigError` with the first thing that is wrong."""
    certificates = read(chain, *CERTIFICATE)
    leaf = certificates[0]
    _pair(certificates, _key(key))
    _usable(leaf)
    known = [*read(authorities, *BUNDLE)] if authorities else []
    for one in _path(leaf, certificates[1:], known):
        _dates(one, now or datetime.now(UTC))
        _strong(one)


def check_name(chain: str, name: str) -> None:
    """Whether the certificate is for this name or address. Raises `ConfigError`."""
    names = _names(read(chain, *CERTIFICATE)[0])
    if not any(_fits(one, name) for one in names):
        host = next((n for n in names if "*" not in n), "ml.example.org")
        raise _wrong(
            f"it is for {', '.join(names) or 'no name at all'}, and the URL has the name {name}",
            fix=f'set server_name = "{host}" in [proxy], or give a certificate for {name}',
        )


def read(pem: str, *keys: str) -> list[x509.Certificate]:
    """The certificates in a PEM text. Raises `ConfigError` when there is none, or a broken one."""
    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except ValueError as error:
        raise _wrong(
            "a certificate in it cannot be read", detail=str(error), keys=keys,
            fix="`openssl x509 -in FILE -noout -text` tells more; give the file in PEM form",
        ) from error  # fmt: skip


def _wrong(
    message: str, *, fix: str, detail: str = "", keys: tuple[str, ...] = CERTIFICATE
) -> ConfigError:
    return ConfigError(message, fix=fix, detail=detail, keys=keys)


def _key(pem: str) -> Any:
    try:
        return serialization.load_pem_private_key(pem.encode(), None)
    except TypeError as error:
        raise _wrong(
            "it is encrypted, and nginx has nobody to ask for the passphrase",
            keys=KEY,
            fix="decrypt it by `openssl pkey -in KEY -out NEW`",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _wrong(
            "this is not a private key in PEM form",
            keys=KEY,
            fix="set it to a PEM file; `openssl pkey -in KEY -noout -text` tells more",
        ) from error


def _pair(certificates: list[x509.Certificate], key: Any) -> None:
    ours = _public(key.public_key())
    if ours == _public(certificates[0].public_key()):
        return
    others = [one for one in certificates[1:] if _public(one.public_key()) == ours]
    raise _wrong(
        "the first certificate in the file does not belong to [proxy] certificate_key",
        fix=FIRST
        if others
        else f"set [proxy] certificate_key to the key that {_title(certificates[0])} was made with",
    )


def _public(key: Any) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(key.public_bytes(serialization.Encoding.DER, form))


def _usable(leaf: x509.Certificate) -> None:
    with contextlib.suppress(x509.ExtensionNotFound):
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        if not {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & {
            *usage
        }:
            raise _wrong(
                f"{_title(leaf)} is not for servers",
                fix="ask its authority for one with the usage serverAuth",
            )


def _path(
    leaf: x509.Certificate, given: list[x509.Certificate], known: list[x509.Certificate]
) -> Iterator[x509.Certificate]:
    """From the server's own up to an authority that clients may know."""
    one, rest = leaf, list(given)
    while True:
        yield one
        if _signed(one, one) or any(_signed(one, root) for root in known):
            return
        above = next((other for other in rest if _signed(one, other)), None)
        if above is None:
            break
        rest.remove(above)
        one = above
    if not any(_signed(one, root) for root in _trusted(one.issuer)):
        raise _wrong(
            f"the chain is incomplete: {_title(one)} is signed by"
            f" {one.issuer.rfc4514_string()}, which is neither in the file nor an authority that"
            " this machine trusts",
            fix="append the certificates between to the file; if it is an authority of your own,"
            " name it in [base] ca_bundle",
        )


def _signed(one: x509.Certificate, by: x509.Certificate) -> bool:
    if one.issuer != by.subject:
        return False
    try:
        one.verify_directly_issued_by(by)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def _trusted(name: x509.Name) -> Iterator[x509.Certificate]:
    for file in (*TRUST, certifi.where()):
        with contextlib.suppress(OSError):
            bundle = Path(file).read_text(errors="replace")
            yield from (one for one in _each(bundle) if one.subject == name)


def _each(bundle: str) -> Iterator[x509.Certificate]:
    """Those that can be read: a system may have one that breaks today's rules."""
    for pem in re.findall(r"-----BEGIN CERT.+?-----END CERTIFICATE-----", bundle, re.DOTALL):
        with contextlib.suppress(ValueError), warnings.catch_warnings(action="ignore"):
            yield x509.load_pem_x509_certificate(pem.encode())


def _dates(one: x509.Certificate, now: datetime) -> None:
    if now > one.not_valid_after_utc:
        raise _wrong(
            f"{_title(one)} expired on {one.not_valid_after_utc:%Y-%m-%d}",
            fix="have it renewed, and set [proxy] certificate to the new file",
        )
    if now < one.not_valid_before_utc:
        raise _wrong(
            f"{_title(one)} is not valid before {one.not_valid_before_utc:%F %R}",
            fix="wait until then, or correct the clock of this machine",
        )


def _strong(one: x509.Certificate) -> None:
    """What Debian's OpenSSL refuses. A root's own signature does not count."""
    key, hashed = one.public_key(), _hash(one)
    weak = hashed in WEAK and one.issuer != one.subject
    if weak or not _good(key):
        what = f"signature by {hashed}" if weak else "key"
        raise _wrong(
            f"{_title(one)} has a {what} that is refused as too weak or too rare",
            fix=f"give one with a P-256 key, or an RSA key of {RSA_BITS} bits, signed by SHA-256",
        )


def _good(key: Any) -> bool:
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size >= RSA_BITS
    if isinstance(key, ec.EllipticCurvePublicKey):
        return isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1)
    return isinstance(key, ed25519.Ed25519PublicKey)


def _hash(one: x509.Certificate) -> str:
    with contextlib.suppress(UnsupportedAlgorithm):
        found = one.signature_hash_algorithm
        return found.name if found else ""
    return ""


def _names(leaf: x509.Certificate) -> list[str]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses: Iterable[Any] = names.get_values_for_type(x509.IPAddress)
    return [*names.get_values_for_type(x509.DNSName), *(str(a) for a in addresses)]


def _fits(pattern: str, name: str) -> bool:
    try:
        return ipaddress.ip_address(pattern) == ipaddress.ip_address(name)
    except ValueError:
        pass
    pattern, name = pattern.lower(), name.lower().rstrip(".")
    if pattern.startswith("*."):
        return name.partition(".")[2] == pattern[2:]
    return pattern == name


def _title(one: x509.Certificate) -> str:
    return one.subject.rfc4514_string() or "the certificate"
