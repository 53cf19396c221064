"""`python -m mlops_install.box NAME`: bring a box up, and print its OpenSSH Host block.

Like `mlops-install box up`, but with Python alone: `make demo` makes the box while the libraries
of the command line are still being installed.
"""

import sys

from mlops_install import box
from mlops_install.errors import BoxError


def main() -> int:
    """Bring up the box that the command line names."""
    try:
        made = box.up(sys.argv[1], say=_say)
    except BoxError as error:
        _say(_told(error))
        return 1
    _say(f"box {made.name} is up at {made.address}")
    sys.stdout.write(box.ssh_config(made))
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _told(error: BoxError) -> str:
    detail = [f"  {line}" for line in error.detail.strip().splitlines()]
    fix = [f"fix:   {error.fix}"] if error.fix else []
    return "\n".join([f"error: {error.message}", *detail, *fix])


if __name__ == "__main__":
    sys.exit(main())
