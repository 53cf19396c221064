"""The entry point. Help is a file, so that it needs no library: it answers at once."""

import sys
from pathlib import Path

from mlops_install.lastresort import guarded


def main() -> None:
    """Run the command line."""
    guarded(_main)


def _main() -> int:
    if sys.argv[1:] in (["--help"], ["-h"], ["help"]):
        sys.stdout.write((Path(__file__).parent / "help.txt").read_text())
        return 0
    from mlops_install.cli import run

    return run()


if __name__ == "__main__":
    main()
