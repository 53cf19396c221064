"""Measure on disposable boxes, and write docs/performance.md: run it on a quiet machine.

    benchmarks/run.py [--only cold,peers] [--rounds N] [--figures FILE]
    benchmarks/run.py --from FIGURES.json [FIGURES.json ...]

A section measures, and makes its part of the page of what was measured. The raw figures are kept
as JSON: `--from` writes the page from the figures of one or more runs, and measures nothing.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "e2e"), str(ROOT / "tests")]

import cold  # noqa: E402
import critical_path  # noqa: E402
import page  # noqa: E402
from boxes import say  # noqa: E402
from mlops_install import box  # noqa: E402

OUT = ROOT / "docs" / "performance.md"
PICTURE = ROOT / "docs" / "images" / "critical-path-after.svg"
SPAN = 60.0
"""Seconds that the width of the picture stands for, as in the one from before."""


def main() -> None:
    """Measure what is asked for, keep the figures, write the page."""
    options = arguments()
    if options.read:
        figures = page.merged(json.loads(path.read_text()) for path in options.read)
    else:
        figures = measure(options.only, options.rounds, options.figures)
    OUT.write_text(page.text(figures))
    say(f"wrote {OUT}")
    if rows := figures.get("cold"):
        PICTURE.write_text(critical_path.draw(cold.quickest(rows), "A first run", SPAN))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure, and write docs/performance.md.")
    names = list(page.SECTIONS)
    parser.add_argument(
        "--only", type=lambda text: text.split(","), default=names, metavar="SECTION,…",
        help=f"of {', '.join(names)}",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, help="of each section, instead of its own number")
    parser.add_argument("--figures", type=Path, default=Path(".bench/figures.json"))
    parser.add_argument("--from", dest="read", type=Path, nargs="+", metavar="FIGURES")
    options = parser.parse_args()
    if unknown := set(options.only) - set(names):
        parser.error(f"there is no section {', '.join(sorted(unknown))}; take {', '.join(names)}")
    return options


def measure(names: list[str], rounds: int | None, kept: Path) -> page.Figures:
    """Raw figures of these sections; kept after each, since a later one may fail."""
    box.reap()
    figures: page.Figures = {"about": page.about()}
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mlops-bench-") as folder:
        for name in names:
            section = page.SECTIONS[name]
            figures[name] = section.measure(Path(folder), rounds or section.ROUNDS)
            kept.write_text(json.dumps(figures, indent=1, default=str))
            say(f"{name} is measured; raw figures in {kept}")
    return figures


if __name__ == "__main__":
    main()
