"""Where large results of tasks go: s3://CONNECTION@BUCKET/FOLDER."""

import re

SHAPE = re.compile(r"s3://([a-z][a-z0-9_-]{0,199})@([^/]*)((?:/[^/]*)*)", re.ASCII)
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
PART = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,255}", re.ASCII)
LONGEST = 512
"""Bytes, half of what a key in a bucket may have."""


def problem(path: str) -> str:
    """Why this is no such place; empty when it is one."""
    found = SHAPE.fullmatch(path)
    if not found:
        return "it must be such as s3://store@forecasts/xcom, with the name of a connection"
    if not BUCKET.fullmatch(found[2]) or re.search(r"\.\.|\.-|-\.|^[0-9.]+$", found[2]):
        return f"{found[2]!r} is not a bucket: 3 to 63 small letters, digits, hyphens and dots"
    for part in found[3].split("/")[1:]:
        if not PART.fullmatch(part):
            return f"{part!r} is not a folder's name: letters, digits, dots, _ and -"
    return f"it has more than {LONGEST} bytes" if len(path) > LONGEST else ""


def connection(path: str) -> str:
    """The name of the connection; empty for no path."""
    return path.removeprefix("s3://").partition("@")[0]
