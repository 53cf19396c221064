"""What our tokens say beside what Airflow's do, and what follows from it."""

import hashlib
import time
from collections.abc import Callable
from typing import Any

PASSWORD, SINCE = "mlops_password", "mlops_since"
"""Claims: which password it was made by; and in a token of the UI, when its login was."""
WORKDAY = 12 * 3600
"""Seconds for which a token of the UI is renewed; then the browser's session is asked again."""
Claims = dict[str, Any]


def mark(hashed: str | None) -> str:
    """Which password a user has, in a word that tells nobody what it is."""
    return hashlib.sha256((hashed or "").encode()).hexdigest()[:32]


def fits(
    claims: Claims, hashed: str | None, life: float, clock: Callable[[], float] = time.time
) -> bool:
    """Whether a token was made by the password that its user has."""
    if PASSWORD in claims:
        return bool(claims[PASSWORD] == mark(hashed))
    # Made before there were marks, when they were good for a day.
    return bool(clock() - claims.get("iat", 0) < life)


def renewed(claims: Claims, life: float, clock: Callable[[], float] = time.time) -> float | None:
    """When the login of a token was, if it is to be renewed; one that a program got never is."""
    since, end, now = claims.get(SINCE), claims.get("exp", 0), clock()
    if since is None or end - now > life / 2 or now - since > WORKDAY:
        return None
    return float(since)
