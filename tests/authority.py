"""Certificates for tests: roots, authorities below them, servers."""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


def new_key() -> Any:
    """A key on the curve P-256."""
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True)
class Made:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: Any

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        return key_pem(self.key)


def key_pem(key: Any, passphrase: str = "") -> str:
    """A private key as PEM, encrypted where there is a passphrase."""
    how = (serialization.BestAvailableEncryption(passphrase.encode()) if passphrase
           else serialization.NoEncryption())  # fmt: skip
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, how).decode()


def make(
    name: str,
    by: Made | None = None,
    *,
    names: tuple[str, ...] = (),
    begin: timedelta = -DAY,
    end: timedelta = 90 * DAY,
    key: Any = None,
    usage: Any = None,
) -> Made:
    """A certificate, signed by `by`, or by itself; `names` are host names and addresses."""
    key = key or new_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begin)
        .not_valid_after(now + end)
    )
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_name(n) for n in names]), False
        )
    if usage:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usage), False)
    signed = builder.sign(by.key if by else key, hashes.SHA256())
    return Made(signed, key)


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
