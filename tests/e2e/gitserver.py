"""A Git server over SSH on the server under test itself, and somebody who pushes to it."""

import shlex
from pathlib import Path

from server import Server

PATH = "/home/git/forecasts.git"
CONFIG = f"""\

[workflows]
repository = "ssh://git@localhost{PATH}"
known_hosts = "{{hosts}}"
pull_every = 3600
"""


def start(server: Server) -> None:
    """An empty repository of a user git, and a clone of root's."""
    server.ssh(
        "apt-get -qq update && apt-get -qq install -y git >/dev/null; useradd -m git\n"
        f"su git -c 'git init -q --bare -b main {PATH}'\n"
        "git config --global user.name A; git config --global user.email a@example.org\n"
        "git config --global safe.directory '*'\n"
        "mkdir /root/clone; cd /root/clone; git init -qb main"
    )


def host_keys(server: Server) -> Path:
    """A file as [workflows] known_hosts wants it."""
    hosts = server.folder / "known_hosts"
    hosts.write_text(server.ssh("sed 's/^/localhost /' /etc/ssh/ssh_host_ed25519_key.pub") + "\n")
    return hosts


def let_in(server: Server) -> None:
    """Let the deploy key in; made here where the installer has not made one yet."""
    server.ssh(
        "set -e; mkdir -p /etc/mlops/secrets ~git/.ssh; chmod 700 /etc/mlops/secrets\n"
        "cd /etc/mlops/secrets; [ -e deploy_key ] || ssh-keygen -qt ed25519 -N '' -f deploy_key\n"
        "ssh-keygen -yf deploy_key > ~git/.ssh/authorized_keys; chown -R git ~git"
    )


def push(server: Server, files: dict[str, str], change: str = "") -> None:
    """Commit files, given by their text, and what shell text changes; and push."""
    written = "".join(
        f"mkdir -p $(dirname {shlex.quote(name)}); printf %s {shlex.quote(text)} > {name}\n"
        for name, text in files.items()
    )
    server.ssh(
        f"cd /root/clone\n{written}{change}\ngit add -A; git commit -qm change\n"
        f"git push -q {PATH} HEAD:main; chown -R git {PATH}"
    )
