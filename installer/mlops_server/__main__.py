"""`python3 -P -B -m mlops_server env ...`."""

import os
import sys
import traceback
from collections.abc import MutableMapping
from contextlib import suppress

from mlops_server.cli import USER, main
from mlops_server.layout import Layout


def run(argv: list[str], layout: Layout, user: str | None = USER) -> None:
    """Run the command line and end the process at once.

    py-rattler's threads can crash an interpreter that winds down, which would turn a good
    build into exit code 134 or 139. `layout` and `user` are others in tests only.
    """
    code = 1
    try:
        code = main(argv, layout, user)
    except SystemExit as done:  # --help
        code = done.code if isinstance(done.code, int) else 1
    except KeyboardInterrupt:
        code = 130
    except BaseException:  # a panic of py-rattler is no Exception
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):  # nobody listens any more
                stream.flush()
        os._exit(code)


def forget_servers(environ: MutableMapping[str, str]) -> None:
    """Take out PGHOST and the like: root's shell may lead psql to another PostgreSQL."""
    for name in [name for name in environ if name.startswith("PG")]:
        del environ[name]


if __name__ == "__main__":
    forget_servers(os.environ)
    run(sys.argv[1:], Layout())
