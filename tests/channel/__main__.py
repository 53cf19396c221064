"""`python tests/channel build [FOLDER]` and `python tests/channel serve [--port N]`, for people."""

import argparse
import shutil
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from channel import build, rattler_config, serve


def main() -> None:
    """Build the channel where it is missing; then copy or serve it."""
    parser = argparse.ArgumentParser(prog="python tests/channel", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    copy = commands.add_parser("build", help="make the channel; with FOLDER, copy it there")
    copy.add_argument("folder", nargs="?", type=Path)
    run = commands.add_parser("serve", help="serve the channel until interrupted")
    run.add_argument("--address", default="127.0.0.1")
    run.add_argument("--port", type=int, default=0)
    run.add_argument("--login", metavar="USER:PASSWORD", default="")
    run.add_argument("--while-process", metavar="PID", type=int, help="end when that has ended")
    chosen = parser.parse_args()
    channel = build()
    if chosen.command == "serve":
        with serve(channel, chosen.address, chosen.port, chosen.login) as server:
            print(server.url, rattler_config(server.url), sep="\n\n", flush=True)
            wait(chosen.while_process)
    elif chosen.folder:
        shutil.copytree(channel.folder, chosen.folder)


def wait(process: int | None) -> None:
    """Return at Ctrl-C, or when the process has ended."""
    try:
        while not process or Path(f"/proc/{process}").exists():
            time.sleep(1)
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    main()
