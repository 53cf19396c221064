"""Addresses of the web, of mail, and of what is reached without a proxy."""

import ipaddress
import re
from urllib.parse import urlsplit

from mlops_install import names

ODD = re.compile(r"[^A-Za-z0-9._~:/?\[\]@!$&'()*+,;=%-]")
"""What stands in no address as it is (RFC 3986); a fragment is never sent."""
TOKEN = re.compile(r"https?://[^\s?#]*\?[^\s]*(?:token|key|secret|sig|password)[^=&]*=", re.I)
"""A token in the query of an address."""
WITH_LOGIN = "a login is part of the address, which is shown and logged"
WITH_TOKEN = "a token is part of the address, which is shown and logged"  # noqa: S105 - a message
SUCH = "an address is such as https://mirror.example.org/debian"


def problem(url: str) -> str:
    """Why this is not an http(s) address of a server, without a login; empty when it is one."""
    if not url.startswith(("http://", "https://")):
        return f"it is not an http(s) address; {SUCH}"
    if odd := ODD.search(url):
        return f"{odd[0]!r} stands in no address; {SUCH}"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return f"its host or port is not valid; {SUCH}"
    if port == 0 or parts.netloc.endswith(":"):
        return "its port is not valid; ports are from 1 to 65535"
    if "@" in parts.netloc:
        return WITH_LOGIN
    if TOKEN.search(url):
        return WITH_TOKEN
    if not host:
        return f"it names no host; {SUCH}"
    why = names.problem(host)
    return f"{host}: {why}" if why else ""


def user(name: str) -> str:
    """Why this cannot be the user of a login; empty when it can."""
    if ":" in name:
        return "a user has no colon: the password has a setting of its own"
    return "it has more than 255 bytes" if len(name.encode()) > 255 else ""


def mail(address: str) -> str:
    """Why this is not an e-mail address; empty when it is one."""
    local, _, host = address.rpartition("@")
    if not re.fullmatch(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}", local):
        return "it is not an e-mail address; one is such as team@example.org"
    why = names.problem(host)
    return f"after the @: {why}" if why else ""


def direct(host: str) -> str:
    """Why this cannot be reached without a proxy; empty for a name, an address or a network."""
    if "/" in host:
        try:
            ipaddress.ip_network(host, strict=False)
        except ValueError:
            return (
                "it is not a network; one is such as 192.0.2.0/24, and a host has no scheme or path"
            )
        return ""
    why = names.problem(host.removeprefix("."))
    such = "hosts are such as mirror.example.org, or .example.org for all below"
    return f"{why}; {such}" if why else ""
