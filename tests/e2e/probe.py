"""A client that never stops asking: what people would notice of a restart."""

import contextlib
import http.client
import json
import ssl
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from types import TracebackType

from server import Server

EVERY = 0.1
HEALTH = "/api/v2/monitor/health"
FRESH = 30
"""Seconds: Airflow's own limit. Its word "healthy" is not asked for: for some seconds it tells of
the scheduler that has just been stopped."""


@dataclass
class Probe:
    """Requests over HTTPS, one every 100 ms, each on a connection of its own.

    They are in turn a call without login, the login page, the health of Airflow, and a POST, which
    no proxy may repeat. `failures` are those not answered by 200 in 10 s, and those that know of
    no scheduler with a fresh heartbeat; `ends` the ends of the others, in seconds. Where one of the
    `ports` refuses a connection the next one is asked.
    """

    server: Server
    ports: tuple[int, ...] = (443,)
    asked: int = 0
    failures: list[str] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    slowest: tuple[float, str] = (0, "")

    def __enter__(self) -> "Probe":
        self._trust = ssl.create_default_context()
        self._trust.check_hostname, self._trust.verify_mode = False, ssl.CERT_NONE
        token = {"Authorization": f"Bearer {self.server.token()}"}
        more = {"Content-Type": "application/json", **token}
        body = json.dumps({"page_limit": 1})
        self._turns = (
            ("GET", "/api/v2/version", None, {}),
            ("GET", "/auth/login/", None, {}),
            ("GET", HEALTH, None, {}),
            ("POST", "/api/v2/dags/~/dagRuns/list", body, more),
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            begin = time.monotonic()
            method, path, body, headers = self._turns[self.asked % len(self._turns)]
            self.asked += 1
            try:
                self._ask(method, path, body, headers)
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.failures.append(f"{time.strftime('%T')} {method} {path}: {error!r}")
            else:
                self.ends.append(time.monotonic())
                self.slowest = max(self.slowest, (self.ends[-1] - begin, path))
            self._stop.wait(max(0, begin + EVERY - time.monotonic()))

    def _ask(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> None:
        client = self._connected()
        try:
            client.request(method, path, body, headers)
            answer = client.getresponse()
            said = answer.read()
            assert answer.status == 200, answer.status
            assert path != HEALTH or _age(answer, json.loads(said)) < FRESH, said
        finally:
            client.close()

    def _connected(self) -> http.client.HTTPSConnection:
        *others, last = self.ports
        for port in others:
            with contextlib.suppress(ConnectionRefusedError):
                return self._connect(port)
        return self._connect(last)

    def _connect(self, port: int) -> http.client.HTTPSConnection:
        client = http.client.HTTPSConnection(
            self.server.box.address, port, timeout=10, context=self._trust
        )
        client.connect()
        return client

    @property
    def gap(self) -> float:
        """The longest time between two answers, in seconds."""
        return max(b - a for a, b in zip(self.ends, self.ends[1:], strict=False))

    def told(self) -> str:
        """What it saw, for the log."""
        return (
            f"{self.asked} requests, {len(self.failures)} failed, slowest {self.slowest[0]:.2f} s"
            f" ({self.slowest[1]}), longest gap {self.gap:.2f} s"
        )

    def assert_unnoticed(self) -> None:
        """Nobody who asked was turned away or had to wait for long."""
        print(f"\n{self.told()}")
        assert not self.failures, self.failures[:5]
        assert self.asked > 20
        assert self.gap < 10


def _age(answer: http.client.HTTPResponse, health: dict[str, dict[str, str]]) -> float:
    """Seconds since the last heartbeat of any scheduler, by the server's clock."""
    beat = datetime.fromisoformat(health["scheduler"]["latest_scheduler_heartbeat"])
    return (parsedate_to_datetime(answer.headers["Date"]) - beat).total_seconds()
