"""What a check of the verification found."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One check: `outcome` is ok, FAILED or skipped; `reason` one line; `details` the rest."""

    role: str
    name: str
    outcome: str
    seconds: float
    reason: str = ""
    details: str = ""
