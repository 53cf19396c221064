"""Airflow's command line for the API server, which makes all that its workers share before it forks them.

gunicorn loads the application once and forks its workers. But the execution API makes its routes, one set for each of
its versions, only at its first request: seconds of computing in each worker, which answers nobody meanwhile. A request
before the fork makes them once for all workers, which also share their memory.
"""

import asyncio
import gc
import os
import socket
import sys
from functools import partial
from pathlib import Path
from typing import Any

FIRST = 3
"""The first descriptor that systemd passes on (sd_listen_fds(3))."""


async def first_request(api: Any) -> None:
    """Ask an ASGI application for something that it does not have."""
    sent = iter([{"type": "http.request", "body": b""}])

    async def receive() -> dict[str, Any]:
        return next(sent, {"type": "http.disconnect"})

    async def send(message: dict[str, Any]) -> None:
        pass

    scope = {"type": "http", "http_version": "1.1", "method": "GET", "path": "/nothing", "raw_path": b"/nothing",
             "root_path": "", "scheme": "http", "query_string": b"", "headers": [(b"host", b"localhost")],
             "server": ("localhost", 80), "client": ("localhost", 1), "app": api, "state": {}}  # fmt: skip
    await api(scope, receive, send)


def prepare() -> None:
    """Load the application, as gunicorn would, and let it make its routes."""
    from airflow.api_fastapi.main import app

    for route in app.routes:
        if getattr(route, "path", "") == "/execution":
            asyncio.run(first_request(route.app))
    gc.collect()
    gc.freeze()  # workers leave these pages as they are, and so shared


def listen(door: socket.socket, path: Path) -> None:
    """Listen on a Unix socket, for which Airflow has no option: as if systemd had passed it on.

    gunicorn takes such a one by itself. Who may connect is a matter of the folder's mode.
    """
    import uvicorn

    door.bind(str(path))
    path.chmod(0o666)
    os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
    uvicorn.run = partial(uvicorn.run, fd=FIRST)


def main() -> None:
    door = socket.socket(socket.AF_UNIX)
    assert door.fileno() == FIRST, "nothing else is open yet"
    gc.disable()  # what is made here stays; looking for garbage in between is a quarter of the time
    from airflow.__main__ import main as airflow
    from airflow.configuration import conf

    # uvicorn's own workers start anew and inherit nothing.
    if conf.get("api", "server_type", fallback="uvicorn") == "gunicorn":
        prepare()
    gc.enable()
    listen(door, Path(os.environ["RUNTIME_DIRECTORY"], "http"))
    airflow()


if __name__ == "__main__":
    sys.exit(main())
