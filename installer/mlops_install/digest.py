"""Digests, by which things are known to be the same."""

import hashlib


def digest(*parts: str | bytes) -> str:
    """SHA-256 in hex over the parts."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(part.encode() if isinstance(part, str) else part)
    return sha.hexdigest()


def short(*parts: str | bytes) -> str:
    """The first 12 hex digits, enough to tell generations of one server apart."""
    return digest(*parts)[:12]
