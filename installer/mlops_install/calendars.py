"""Calendar events of systemd. Its own parser is the judge: this machine's, then the server's."""

import re
import shutil
import subprocess

from mlops_install import timezones

SHAPE = re.compile(r"[A-Za-z0-9*:,./~ _+-]{1,200}", re.ASCII)
ZONE = re.compile(r" ([A-Za-z]+/[A-Za-z0-9_+/-]+)$")
WORDS = frozenset(
    {"minutely", "hourly", "daily", "weekly", "monthly", "quarterly", "semiannually", "yearly"}
)
NO_MORE = "it lies in the past, so it never comes again"


def problem(event: str) -> str:
    """Why systemd would not take this event, as far as this machine can tell; else empty."""
    if not SHAPE.fullmatch(event):
        return "systemd does not know such a calendar event"
    if (zone := ZONE.search(event)) and (why := timezones.problem(zone[1])):
        return f"{zone[1]}: {why}"
    program = shutil.which("systemd-analyze")
    if event in WORDS or program is None:
        return ""
    # Without its zone: those of this machine are not the server's.
    words = [program, "calendar", "--", ZONE.sub("", event)]
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
