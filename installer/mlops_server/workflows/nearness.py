"""A commit must not have the server ask machines that the repository itself is not near to.

A submodule's address is whatever the commit says, and the server may reach what its author cannot.
"""

import re
import socket
from contextlib import suppress
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address, ip_address

from mlops_server.workflows import config
from mlops_server.workflows.config import host


class Place(IntEnum):
    """Where a host is, as seen from the server."""

    HERE = 0
    """The machine itself, or what only machines of a cloud ask."""
    INSIDE = 1
    """A network that is not the internet."""
    OUTSIDE = 2


def refused(url: str, repository: str) -> str:
    """Why a submodule's address is not asked; empty: it may be.

    The repository's own host is trusted for all that it has; where that is this machine, only for
    what the repository is asked by: other programs listen here, too.
    """
    name = host(url)
    if not name or _door(url) == _door(repository):
        return ""
    place = place_of(name)
    if place is Place.HERE:
        return "is on the server itself"
    if name != host(repository) and place < place_of(host(repository)):
        return "is in an internal network, and the repository is not"
    return ""


def _door(url: str) -> tuple[bool, str, int]:
    """By what a host is asked."""
    found = config.place(url)
    return url.lower().startswith("https:"), host(url), found[1] if found else 0


def place_of(name: str) -> Place:
    """Where a host is. One that cannot be looked up is outside: a proxy may know it."""
    if name == "localhost" or name.endswith(".localhost"):
        return Place.HERE
    if re.fullmatch(r"[0-9.]+|0x[0-9a-f.x]+", name):
        with suppress(ValueError):
            return _place(ip_address(name))
        return Place.HERE  # 127.1, 0x7f000001: whoever writes so has something to hide
    return min(map(_place, _addresses(name)), default=Place.OUTSIDE)


def _addresses(name: str) -> list[IPv4Address | IPv6Address]:
    try:
        found = socket.getaddrinfo(name, None, proto=socket.IPPROTO_TCP)
        return [ip_address(str(one[4][0]).partition("%")[0]) for one in found]
    except (OSError, ValueError):
        return []


def _place(address: IPv4Address | IPv6Address) -> Place:
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_loopback or address.is_link_local or address.is_unspecified:
        return Place.HERE
    return Place.OUTSIDE if address.is_global else Place.INSIDE
