"""The page of figures: sections in order, of the figures of one or more runs."""

import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import cold
import converged
import peers
import throughput
from boxes import SYSTEM

Figures = dict[str, Any]
"""Section -> its rounds; `about` -> the machine and the day."""


SECTIONS: dict[str, Any] = {
    "cold": cold,
    "converged": converged,
    "peers": peers,
    "throughput": throughput,
}


def about() -> dict[str, Any]:
    """The machine and the day."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "day": f"{datetime.now(UTC):%Y-%m-%d}",
        "cpus": os.cpu_count(),
        "memory_gib": round(memory / 2**30),
        "kernel": platform.release().split("-")[0],
        "system": SYSTEM,
    }


def merged(runs: Iterable[Figures]) -> Figures:
    """The rounds of several runs, one after another; they must be of one machine."""
    together: Figures = {}
    for figures in runs:
        first = together.get("about") or figures["about"]
        known = {**first, "day": figures["about"]["day"]}
        if known != figures["about"]:
            raise SystemExit(f"figures of two machines: {known} and {figures['about']}")
        together["about"] = known
        for name in SECTIONS.keys() & figures.keys():
            together[name] = [*together.get(name, []), *figures[name]]
    return together


def text(figures: Figures) -> str:
    """The page as Markdown; a section that was not measured is not on it."""
    blocks = ["# Performance", _machine(figures["about"])]
    for name, section in SECTIONS.items():
        if figures.get(name):
            blocks += [f"## {section.TITLE}", *section.text(figures[name])]
    return "\n\n".join(blocks) + "\n"


def _machine(of: dict[str, Any]) -> str:
    return (
        f"Measured {of['day']} by `make bench` on {of['cpus']} cores and {of['memory_gib']} GiB, "
        f"Linux {of['kernel']}, in {of['system']} boxes. Trust ratios more than seconds: "
        "everything in one table was taken in turn on one machine."
    )
