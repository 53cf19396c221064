"""The deploy key: made once on the server; only its public part leaves it."""

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from mlops_server.disk import sync, write
from mlops_server.errors import EnvError
from mlops_server.layout import Layout


def public(layout: Layout) -> str | None:
    """The public part, or None when there is no key yet."""
    try:
        return layout.deploy_key.with_name("deploy_key.pub").read_text().strip()
    except FileNotFoundError:
        return None


def ensure(layout: Layout) -> str:
    """The public part; the key is made where it is missing. Raises `EnvError`."""
    key = layout.deploy_key
    if key.exists():
        found = public(layout)
        if found is None:
            found = _keygen("-y", "-f", str(key)).strip()
            write(key.with_name("deploy_key.pub"), f"{found}\n".encode(), 0o644)
        return found
    key.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = Path(tempfile.mkdtemp(prefix=".deploy_key-", dir=key.parent))
    try:
        made, name = folder / "deploy_key", f"mlops@{socket.gethostname()}"
        _keygen("-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(made))
        os.chmod(made, 0o600)
        subprocess.run(["sync", "-f", str(made)], check=False)
        # The public part first: it can be made from the key, and not the other way round.
        made.with_name("deploy_key.pub").replace(key.with_name("deploy_key.pub"))
        made.replace(key)
        sync(key.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return public(layout) or ""


def _keygen(*words: str) -> str:
    done = subprocess.run(
        ["ssh-keygen", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise EnvError(
            "ssh-keygen failed",
            detail=done.stderr.strip(),
            fix="remove /etc/mlops/secrets/deploy_key, then `mlops workflows key` makes a new one",
        )
    return done.stdout
