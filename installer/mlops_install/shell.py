"""Quoting: the only place where values become shell words."""

import base64
import gzip
import shlex


def sh(*words: object) -> str:
    """One shell command of these words, each quoted."""
    return " ".join(shlex.quote(str(word)) for word in words)


def here(data: bytes) -> str:
    """A shell pipeline that prints `data`, whatever bytes are in it; nothing shows in argv."""
    packed = base64.encodebytes(gzip.compress(data, mtime=0)).decode()
    return f"base64 -d <<'MLOPS_DATA' | gzip -d\n{packed}MLOPS_DATA\n"


def in_place(new: str, path: str) -> str:
    """A finished file takes its place by one rename, on the disk before and after."""
    return f"{sh('sync', new)}\n{sh('mv', '-fT', new, path)}\n{sh('sync', path.rpartition('/')[0])}"


def as_user(user: str, *words: object, group: str = "") -> str:
    """The command `words` run as `user`, from root: the one place where shell text changes users.

    Nothing of root's goes along: no variable, such as a proxy's login, and no terminal, into which
    that user could type. And no login, which would take longer than most questions do. With `group`
    that is the only one besides the user's own.
    """
    groups = f"--groups={group}" if group else "--init-groups"
    become = ("setpriv", f"--reuid={user}", f"--regid={user}", groups)
    return f'env -i HOME=/ LC_ALL=C.UTF-8 "PATH=$PATH" {sh("setsid", "-w", *become, *words)}'
