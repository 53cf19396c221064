"""`python tests/channel build [FOLDER]` and `python tests/channel serve [--port N]`, for people."""

import argparse
import shutil
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from channel import Channel, build, rattler_config, serve


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
    chosen = parser.parse_args()
    channel = build()
    if chosen.command == "serve":
        wait(channel, chosen.address, chosen.port, chosen.login)
    elif chosen.folder:
        shutil.copytree(channel.folder, chosen.folder)


def wait(channel: Channel, address: str, port: int, login: str) -> None:
    """Serve until Ctrl-C."""
    with serve(channel, address, port, login) as server:
        print(server.url, rattler_config(server.url), sep="\n\n", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
