"""Files about Git servers and signers, judged before they reach the server."""

from itertools import pairwise

from mlops_server.workflows.config import place

from mlops_install import knownhosts, reading
from mlops_install.errors import ConfigError
from mlops_install.knownhosts import REVOKED


def known_hosts(path: str | None, repository: str | None) -> str | None:
    """The text of the file. Raises `ConfigError` when it has no key of the repository's host."""
    if path is None:
        return None
    keys = ("workflows", "known_hosts")
    text = reading.text(path, keys=keys)
    found = list(knownhosts.lines(text, path))
    host, port = place(repository or "") or ("", 0)
    if host and not (repository or "").startswith("https://"):
        found = knownhosts.known(found, host, port or 22)
    if all(line.marker == REVOKED for line in found):
        whose = f" of {knownhosts.name(host, port or 22)}" if host else ""
        scan = f"ssh-keyscan {f'-p {port} ' if port else ''}{host or 'HOST'}"
        raise ConfigError(
            f"{path} has no host key{whose}", keys=keys,
            fix=f"`{scan}` prints them; compare their fingerprints with what the operator says",
        )  # fmt: skip
    return text


def allowed_signers(path: str | None) -> str | None:
    """The text of the file. Raises `ConfigError` when nobody in it may sign."""
    if path is None:
        return None
    keys = ("workflows", "allowed_signers")
    text = reading.text(path, keys=keys)
    if not any(_signer(line) for line in text.splitlines()):
        raise ConfigError(
            f"{path} has no key that may sign", keys=keys,
            fix="a line is such as `ann@example.org ssh-ed25519 AAAA…`, as ssh-keygen(1) tells",
        )  # fmt: skip
    return text


def _signer(line: str) -> bool:
    words = line.split()
    if not words or words[0].startswith("#"):
        return False
    return any(knownhosts.public_key(*pair) for pair in pairwise(words[1:]))
