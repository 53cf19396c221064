"""What Git and SSH say when a server cannot be used, told in our words."""

import re

from mlops_server.errors import EnvError, Flaw
from mlops_server.workflows.refusals import Rejected, TryAgain, shown

KEY = "`mlops workflows key` shows the key; add it to the repository, to read only"
HOST = (
    "compare the host's key with its operator, put it into the file that [workflows] known_hosts"
    " in mlops.toml names, then `mlops-install apply`"
)


class AbsentError(EnvError):
    """There is no such repository, or no such commit in it."""


class Malformed(Rejected):
    """The server sent objects that Git's own checks refuse."""


_FIXED = (
    (
        r"host key verification failed|host identification has changed|no .* host key is known",
        Flaw("the host key of {url} is not the pinned one, or none is pinned", HOST),
    ),
    (
        r"permission denied \(|too many authentication failures",
        Flaw("{url} refuses the deploy key", KEY),
    ),
    (
        r"load key .*|invalid format|error in libcrypto",
        Flaw("the deploy key cannot be read", KEY),
    ),
    (
        r"authentication failed|could not read (username|password)|terminal prompts disabled"
        r"|returned error: 40[13]|invalid username or password",
        Flaw(
            "{url} refuses the login, or wants one",
            "set [workflows] user and password in mlops.toml, then `mlops-install apply`",
        ),
    ),
    (
        r"certificate|ssl_error|self[- ]signed",
        Flaw(
            "the certificate of {url} cannot be verified",
            "set [base] ca_bundle in mlops.toml to the authority's file, then"
            " `mlops-install apply`",
        ),
    ),
    (
        r"no space left|disk quota",
        Flaw("the disk is full", "free some disk space, then run the same command again"),
    ),
    (
        r"git: 'lfs' is not a git command|git-lfs.*not found",
        Flaw(
            "lfs is on, and git-lfs is not installed on this server",
            "`mlops-install apply` installs it",
        ),
    ),
)
_ABSENT = (
    r"does not appear to be a git repository|repository .*not found|returned error: 404"
    r"|not our ref|couldn't find remote ref|unadvertised object|no such remote ref|does not exist"
)
_MALFORMED = r"fsck error|fsck_objects|gitmodules(url|path|name|parse)|hasdotgit|badtree"
_OBJECT = re.compile(r"(object|in \w+) [0-9a-f]{40,64}")
_NETWORK = (
    r"could not resolve|name resolution|name or service not known|connection (refused|reset|closed"
    r"|timed out|aborted)|timed out|timeout|network is unreachable|no route to host|early eof"
    r"|unexpected disconnect|rpc failed|hung up unexpectedly|failed to connect|couldn't connect"
    r"|too slow|proxy connect|returned error: (429|5\d\d)|kex_exchange|broken pipe|bad gateway"
    r"|gnutls recv error|transfer closed|empty reply|curl \d+|could not read from remote"
    r"|index-pack (died|failed)|invalid index-pack output|unpack-objects died"
)
_NOISE = re.compile(r"^(Cloning into|From |remote: (Counting|Compressing|Total)|\s*$)")


def explain(said: str, url: str) -> EnvError:
    """The error that stands behind what Git said about a server."""
    lines = [shown(line) for line in said.splitlines() if not _NOISE.match(line)]
    detail, text = "\n".join(lines[-8:]), said.lower()
    for pattern, flaw in _FIXED:
        if re.search(pattern, text):
            return EnvError(flaw.text.format(url=url), fix=flaw.fix, detail=detail)
    if re.search(_MALFORMED, text):
        found = next((line for line in lines if _OBJECT.search(line)), lines[0])
        return Malformed(f"Git finds an object of {url} malformed: {_after(found)}")
    if re.search(_ABSENT, text):
        return AbsentError(
            f"there is no such repository or commit at {url}",
            fix=f"correct [workflows] repository; with SSH the key must be allowed to read: {KEY}",
            detail=detail,
        )
    if re.search(_NETWORK, text):
        return TryAgain(
            f"{url} cannot be reached",
            fix="run the same command again when it can; the pull DAG tries again by itself",
            detail=detail,
        )
    return EnvError(
        f"Git cannot read {url}",
        fix="correct what Git says above, then `mlops workflows sync`",
        detail=detail,
    )


def _after(line: str) -> str:
    return re.sub(r"^(remote: )?((error|fatal): )*", "", line)
