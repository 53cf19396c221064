"""Draw where the time of a run went, from what `mlops-install apply --json` printed.

    benchmarks/critical_path.py RUN.json PICTURE.svg [TITLE [SECONDS]]

Each lane is a row and each resource a bar. Stages follow one another, so the critical path goes
through the lane of each stage that ends last: its bars are dark. SECONDS is how much time the
width stands for, so that two pictures can be compared.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

Timing = dict[str, Any]
"""One resource of `timings`: stage, lane, resource, and start and seconds as numbers."""

WIDTH, LEFT, ROW, TOP, FOOT = 1200, 110, 30, 64, 30
LETTER = 6.2  # width of one at 11 px, about
CRITICAL, OTHER, INK, FAINT = "#b8431f", "#b9c7d6", "#1f2933", "#d5dbe1"


def end(timing: Timing) -> float:
    """When the resource was done."""
    return float(timing["start"]) + float(timing["seconds"])


def critical(timings: Sequence[Timing]) -> list[Timing]:
    """The resources of each stage's lane that ends last."""
    found: list[Timing] = []
    for stage in dict.fromkeys(t["stage"] for t in timings):
        rows = [t for t in timings if t["stage"] == stage]
        last = max(rows, key=end)
        found += [t for t in rows if t["lane"] == last["lane"]]
    return found


def draw(timings: Sequence[Timing], title: str, span: float = 0) -> str:
    """The picture as SVG text, `span` seconds wide or as long as the run."""
    lanes = list(dict.fromkeys(t["lane"] for t in timings))
    total = max(map(end, timings))
    span = max(span, total)
    scale = (WIDTH - LEFT - 20) / span
    height = TOP + ROW * len(lanes) + FOOT
    on_path = {id(t) for t in critical(timings)}
    bars = (
        _bar(t, TOP + ROW * lanes.index(t["lane"]), scale, id(t) in on_path)
        for t in timings
        if float(t["seconds"]) * scale >= 0.5
    )
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
            f' width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="11">',
            f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
            _text(10, 20, f"{title}: {total:.1f} s", size=15),
            *_stages(timings, scale, height),
            *_seconds(span, scale, height),
            *(_text(10, TOP + ROW * n + 19, lane) for n, lane in enumerate(lanes)),
            *bars,
            "</svg>\n",
        )
    )


def _bar(timing: Timing, y: int, scale: float, on_path: bool) -> str:
    x, width = LEFT + float(timing["start"]) * scale, float(timing["seconds"]) * scale
    words = f"{timing['resource']}, {float(timing['seconds']):.1f} s"
    fill = CRITICAL if on_path else OTHER
    box = (
        f'<rect x="{x:.1f}" y="{y + 3}" width="{width:.1f}" height="{ROW - 8}" fill="{fill}"'
        f' stroke="white" stroke-width="0.5"><title>{escape(words)}</title></rect>'
    )
    room = int((width - 8) / LETTER)
    short = words if len(words) <= room else f"{timing['resource']}"[: max(room - 1, 0)] + "…"
    return box + (_text(x + 4, y + 19, short, "white" if on_path else INK) if room > 5 else "")


def _stages(timings: Sequence[Timing], scale: float, height: int) -> Iterator[str]:
    for stage in dict.fromkeys(t["stage"] for t in timings):
        begin = min(float(t["start"]) for t in timings if t["stage"] == stage)
        x = LEFT + begin * scale
        yield _line(x, 34, height - FOOT, INK)
        yield _text(x + 4, 44, str(stage))


def _seconds(total: float, scale: float, height: int) -> Iterator[str]:
    step = next(n for n in (1, 2, 5, 10, 20, 50, 100, 500) if total / n <= 15)
    for second in range(0, int(total) + 1, step):
        x = LEFT + second * scale
        yield _line(x, TOP, height - FOOT, FAINT)
        yield _text(x - 4, height - 12, f"{second} s")


def _line(x: float, top: int, bottom: int, colour: str) -> str:
    return f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" stroke="{colour}"/>'


def _text(x: float, y: float, words: str, fill: str = INK, size: int = 11) -> str:
    style = f'fill="{fill}"' + (f' font-size="{size}"' if size != 11 else "")
    return f'<text x="{x:.1f}" y="{y}" {style}>{escape(words)}</text>'


def main() -> None:
    """Read a run and write its picture."""
    run, picture, *more = sys.argv[1:]
    title, span = (*more, *("", "0")[len(more) :])
    timings = json.loads(Path(run).read_text())["timings"]
    Path(picture).write_text(draw(timings, title or Path(run).stem, float(span)))


if __name__ == "__main__":
    main()
