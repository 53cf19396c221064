"""The entry point. Help is a file, so that it needs no library: it answers at once."""

import sys
from pathlib import Path


def main() -> None:
    """Run the command line."""
    if sys.argv[1:] in (["--help"], ["-h"], ["help"]):
        sys.stdout.write((Path(__file__).parent / "help.txt").read_text())
        return
    from mlops_install.cli import run

    run()


if __name__ == "__main__":
    main()
