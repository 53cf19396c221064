"""Calendar events of systemd. Its own parser is the judge: this machine's, then the server's."""

import re
import shutil
import subprocess

WORDS = frozenset(
    {"minutely", "hourly", "daily", "weekly", "monthly", "quarterly", "semiannually", "yearly"}
)
NO_MORE = "it lies in the past, so it never comes again"


def problem(event: str) -> str:
    """Why systemd would not take this event, as far as this machine can tell; else empty."""
    program = shutil.which("systemd-analyze")
    # The zones of this machine are not the server's.
    if event in WORDS or program is None or re.search(r"[A-Za-z]/[A-Za-z]", event):
        return ""
    words = [program, "calendar", "--", event]
    said = subprocess.run(words, capture_output=True, text=True, check=False)
    return verdict(said.stdout + said.stderr)


def script(event: str) -> str:
    """Shell text that prints what systemd says to it, in one line."""
    from mlops_install.shell import sh

    return f"{sh('systemd-analyze', 'calendar', '--', event)} 2>&1 | tr '\\n' ' '"


def verdict(said: str) -> str:
    """What is wrong by what systemd-analyze printed; empty for nothing, or no answer."""
    if re.search(r"Next elapse: *never", said):
        return NO_MORE
    refused = re.search(r"Failed to parse calendar \w+", said)
    return "systemd does not know such a calendar event" if refused else ""
