"""Names and addresses that a URL and a certificate can have."""

import ipaddress
import re

from mlops_install.errors import ConfigError

LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
LONGEST = 253


def problem(name: str) -> str:
    """Why this is no host name or address; empty when it is one."""
    if re.fullmatch(r"[0-9.]+|.*:.*", name):
        try:
            found = ipaddress.ip_address(name)
        except ValueError:
            return "this is not an address; a name is such as ml.example.org, without a port"
        nobody = found.is_unspecified or found.is_multicast
        return "no server can have this address" if nobody else ""
    if len(name) > LONGEST:
        return f"it has {len(name)} characters, and a host name has {LONGEST} at most"
    if not all(LABEL.fullmatch(label) for label in name.split(".")):
        return "its parts must be letters, digits and hyphens, up to 63 of them"
    return ""


def is_address(name: str) -> bool:
    """Whether it is an IP address; `problem` has found nothing."""
    return bool(re.fullmatch(r"[0-9.]+|.*:.*", name))


def require(name: str) -> None:
    """Raises `ConfigError` when the name by which the server was reached cannot be in a URL."""
    if why := problem(name):
        raise ConfigError(
            f"the URL cannot have the name {name}: {why}", fix="set server_name in [proxy]"
        )
