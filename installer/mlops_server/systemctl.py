"""systemctl, and where to look when it fails."""

import subprocess
from collections.abc import Sequence

from mlops_server.errors import EnvError


def systemctl(*words: str, timeout: float | None = None) -> str:
    """Run it; what it printed. Raises `EnvError`, and `subprocess.TimeoutExpired`."""
    done = subprocess.run(
        ["systemctl", *words], capture_output=True, text=True, timeout=timeout, check=False
    )
    return checked(done, words)


def checked(done: "subprocess.CompletedProcess[str]", words: Sequence[str]) -> str:
    """What systemctl printed when it was called with `words`. Raises `EnvError` when it failed."""
    if done.returncode:
        raise EnvError(
            f"systemctl {' '.join(words)} failed",
            detail=done.stderr.strip(),
            fix="`systemctl --failed` and `journalctl -p err -n 50` tell more",
        )
    return done.stdout
