"""The entry point. Help is files, so that it needs no library: it answers at once."""

import gc
import sys
from pathlib import Path

from mlops_install.lastresort import guarded

HERE = Path(__file__).parent
MANY = 100_000
"""Objects until Python looks for rubbish. Imports make many and no rubbish: with Python's 700 the
search is a tenth of what a short run computes."""


def main() -> None:
    """Run the command line."""
    guarded(_main)


def _main() -> int:
    words = sys.argv[1:]
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    page = _page(words)
    if page is not None:
        sys.stdout.write(page.read_text())
        return 0
    gc.set_threshold(MANY)
    from mlops_install.cli import run

    return run(words)


def _page(words: list[str]) -> Path | None:
    """The help that is asked for; None where typer has to look closer at the words."""
    *command, last = words or [""]
    if last not in ("--help", "-h"):
        return None
    if not command:
        return HERE / "help.txt"
    page = HERE / "help" / f"{'.'.join(command)}.txt"
    plain = all(word.replace("-", "").isalpha() for word in command)
    return page if plain and page.is_file() else None


if __name__ == "__main__":
    main()
