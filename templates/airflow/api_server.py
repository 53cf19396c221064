"""Airflow's command line for the API server, which makes all that its workers share before it forks them.

gunicorn loads the application once and forks its workers. But the execution API makes its routes, one set for each of
its versions, only at its first request: seconds of computing in each worker, which answers nobody meanwhile. A request
before the fork makes them once for all workers, which also share their memory.
"""

import asyncio
import gc
import sys
from typing import Any


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


def main() -> None:
    gc.disable()  # what is made here stays; looking for garbage in between is a quarter of the time
    from airflow.__main__ import main as airflow
    from airflow.configuration import conf

    # uvicorn's own workers start anew and inherit nothing.
    if conf.get("api", "server_type", fallback="uvicorn") == "gunicorn":
        prepare()
    gc.enable()
    airflow()


if __name__ == "__main__":
    sys.exit(main())
