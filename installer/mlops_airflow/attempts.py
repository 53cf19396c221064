"""Wrong passwords, counted for all processes of an API server: when may the next one be tried?

Counted are a name from one address, an address, and a name from all addresses that have not proved
to know its password. So nobody guesses without end, and who guesses shuts out himself only: the
right password still gets in from elsewhere.
"""

import fcntl
import hashlib
import ipaddress
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Found = TypeVar("Found")
FORGOTTEN = 3600
"""Seconds after the last wrong password."""
KEPT = 10_000
"""Counts at most: names and addresses come from whoever asks."""
PLACES = 2
"""Password checks at a time: each keeps a processor busy for a tenth of a second."""
PATIENCE = 5.0
WAITING = 8
"""Threads of a process that may wait for a place: it has few, and all other requests need them."""


class Refused(Exception):  # noqa: N818 - reads as what it is
    """No password is checked now; `seconds` tells when one may be again."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"Too many attempts. Try again in {int(seconds) + 1} seconds.")
        self.seconds = int(seconds) + 1


@dataclass(frozen=True)
class Rule:
    """After `free` wrong ones each further one takes longer, from `first` to `longest` seconds."""

    free: int
    first: float
    longest: float

    def pause(self, wrong: int) -> float:
        """Seconds from the last of so many wrong ones until the next may be tried."""
        if wrong < self.free:
            return 0
        return min(self.longest, self.first * 2.0 ** min(wrong - self.free, 30))


PAIR, ADDRESS, NAME = Rule(5, 4, 900), Rule(20, 4, 900), Rule(50, 1, 10)


def network(address: str) -> str:
    """What one person has: an IPv4 address, or the /64 around an IPv6 one."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(found, ipaddress.IPv6Address):
        return str(found.ipv4_mapped or ipaddress.ip_network(f"{found}/64", strict=False))
    return str(found)


def is_local(address: str) -> bool:
    """Whether it is this machine, from which tasks and our own checks log in side by side."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _key(kind: str, *parts: str) -> str:
    text = "\0".join((kind, *parts))
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


@dataclass(frozen=True)
class Attempts:
    """The counts, in a file that all processes share; it need not outlive them."""

    file: Path
    clock: Callable[[], float] = time.time

    def pause(self, name: str, address: str) -> float:
        """Seconds until this name may be tried from this address; 0 is now."""
        pair, rules = self._rules(name, address)
        with self._open() as database:
            known = database.execute("select 1 from known where key = ?", (pair,)).fetchone()
            left = [
                self._left(database, key, rule)
                for key, rule in rules.items()
                if not (known and rule is NAME)
            ]
        return max(left)

    def note(self, name: str, address: str, right: bool) -> None:
        """Count an answer. A right one clears its own pair only: who has a login may guess too."""
        pair, rules = self._rules(name, address)
        now = self.clock()
        with self._open() as database:
            if right:
                database.execute("delete from wrong where key = ?", (pair,))
                database.execute("insert or replace into known values (?, ?)", (pair, now))
            else:
                for key in rules:
                    self._count(database, key, now)
            self._clear(database, now)

    def _rules(self, name: str, address: str) -> tuple[str, dict[str, Rule]]:
        name, place = name.strip().casefold(), network(address)
        pair = _key("pair", name, place)
        rules = {pair: PAIR, _key("name", name): NAME}
        if not is_local(address):
            rules[_key("address", place)] = ADDRESS
        return pair, rules

    def _left(self, database: sqlite3.Connection, key: str, rule: Rule) -> float:
        row = database.execute("select count, last from wrong where key = ?", (key,)).fetchone()
        count, last = row or (0, 0.0)
        now = self.clock()
        if now - last > FORGOTTEN:
            return 0
        return max(0.0, min(rule.longest, float(last) + rule.pause(count) - now))

    def _count(self, database: sqlite3.Connection, key: str, now: float) -> None:
        database.execute("delete from wrong where key = ? and last < ?", (key, now - FORGOTTEN))
        database.execute(
            "insert into wrong values (?, 1, ?)"
            " on conflict (key) do update set count = count + 1, last = excluded.last",
            (key, now),
        )

    def _clear(self, database: sqlite3.Connection, now: float) -> None:
        database.execute("delete from wrong where last < ?", (now - FORGOTTEN,))
        for table in ("wrong", "known"):
            database.execute(
                f"delete from {table} where key in"
                f" (select key from {table} order by last desc limit -1 offset {KEPT})"
            )

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        # A connection for each use: one must not cross a fork, nor threads.
        with closing(sqlite3.connect(self.file, timeout=10, isolation_level="IMMEDIATE")) as made:
            # A crash of the machine takes the counts along anyway.
            made.execute("pragma synchronous = off")
            made.execute("pragma journal_mode = memory")
            made.execute("create table if not exists wrong (key primary key, count, last)")
            made.execute("create table if not exists known (key primary key, last)")
            with made:
                yield made


class Places:
    """Few places for all processes, each a locked file; the lock ends with its holder."""

    def __init__(self, folder: Path, number: int = PLACES, patience: float = PATIENCE) -> None:
        self._files = [folder / f"place-{i}" for i in range(number)]
        self._patience = patience
        self._waiting = threading.BoundedSemaphore(WAITING)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold a place. Raises `Refused` when none gets free in time."""
        if not self._waiting.acquire(blocking=False):
            raise Refused(1)
        try:
            place = self._wait()
        finally:
            self._waiting.release()
        try:
            yield
        finally:
            os.close(place)

    def _wait(self) -> int:
        deadline = time.monotonic() + self._patience
        while time.monotonic() < deadline:
            for file in self._files:
                if (place := _locked(file)) is not None:
                    return place
            time.sleep(0.02)
        raise Refused(1)


def _locked(file: Path) -> int | None:
    place = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(place)
        return None
    return place


@dataclass(frozen=True)
class Guard:
    """Stands before every check of a password."""

    attempts: Attempts
    places: Places

    def checked(self, name: str, address: str, check: Callable[[], Found | None]) -> Found | None:
        """What `check` finds. Raises `Refused`, and checks nothing, while it must not."""
        self._require(name, address)
        with self.places.one():
            self._require(name, address)  # many may have waited for the same place
            found = check()
            self.attempts.note(name, address, found is not None)
        return found

    def _require(self, name: str, address: str) -> None:
        if (pause := self.attempts.pause(name, address)) > 0:
            raise Refused(pause)


def guard(folder: Path) -> Guard:
    """The guard whose processes share a folder."""
    return Guard(Attempts(folder / "attempts.sqlite"), Places(folder))
