"""Names of time zones, judged without the server."""

import difflib
import re
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

SHAPE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*", re.ASCII)
NOT_MEANT = ("posix/", "right/", "localtime", "posixrules", "Factory")
"""What else is in a folder of zones: other counts of seconds, and no zones at all."""


def problem(name: str) -> str:
    """Why this is no time zone, with the nearest one; empty when it is one, or nobody knows."""
    if not SHAPE.fullmatch(name):
        return "it is not the name of a time zone; names are such as Europe/Zurich"
    if _known(name):
        return ""
    names = sorted(zone for zone in available_timezones() if not zone.startswith(NOT_MEANT))
    # This machine may have no zones; the server is asked when it is planned.
    return f"there is no such time zone{_guess(name, names)}" if names else ""


def _known(name: str) -> bool:
    if name.startswith(NOT_MEANT):
        return False
    try:
        # Of this machine, or of the package tzdata, which has the old names too.
        return bool(ZoneInfo(name).key)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False


def _guess(name: str, names: list[str]) -> str:
    small = {zone.lower(): zone for zone in names}
    cities = {zone.rpartition("/")[2]: zone for zone in small}
    word = name.lower()
    near = difflib.get_close_matches(word, small, 1, 0.6)
    city = difflib.get_close_matches(word.rpartition("/")[2], cities, 1, 0.8)
    found = small[near[0]] if near else small[cities[city[0]]] if city else ""
    return f"; did you mean {found}?" if found else "; names are such as Europe/Zurich"
