"""Wrong passwords: who waits how long, and who does not. The counts are real files."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlops_airflow import attempts
from mlops_airflow.attempts import ADDRESS, NAME, PAIR, Attempts, Guard, Places, Refused

HERE, ELSEWHERE = "192.0.2.1", "198.51.100.7"


@dataclass
class Clock:
    now: float = 1e9

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def counted(tmp_path, clock):
    return Attempts(tmp_path / "attempts.sqlite", clock)


def guess(counted, clock, times, name="ann", address=HERE):
    """So many wrong passwords, each as soon as it may be tried; the seconds that took."""
    begin = clock.now
    for _ in range(times):
        clock.now += counted.pause(name, address)
        counted.note(name, address, right=False)
    return clock.now - begin


@pytest.mark.parametrize(
    ("wrong", "pause"), [(0, 0), (4, 0), (5, 4), (6, 8), (7, 16), (13, 900), (10**6, 900)]
)
def test_each_wrong_one_takes_longer(wrong, pause):
    assert PAIR.pause(wrong) == pause


def test_some_are_free_and_then_there_is_a_pause(counted, clock):
    assert guess(counted, clock, PAIR.free) == 0
    assert counted.pause("ann", HERE) == PAIR.first
    clock.now += PAIR.first - 1
    assert counted.pause("ann", HERE) == 1
    clock.now += 1
    assert counted.pause("ann", HERE) == 0


def test_a_day_is_enough_for_few(counted, clock):
    assert guess(counted, clock, 100) > 86400 * 0.9


def test_the_right_one_gets_in_from_elsewhere(counted, clock):
    guess(counted, clock, 20)
    assert counted.pause("ann", HERE) > 0
    assert counted.pause("ann", ELSEWHERE) == 0


def test_others_get_in_from_there_until_the_address_has_had_its_share(counted, clock):
    guess(counted, clock, PAIR.free)
    assert counted.pause("bob", HERE) == 0
    for number in range(ADDRESS.free):
        counted.note(f"somebody{number}", HERE, right=False)
    assert counted.pause("bob", HERE) > 0


def test_a_name_guessed_from_many_addresses_is_slowed_but_not_where_it_is_known(counted, clock):
    counted.note("ann", ELSEWHERE, right=True)
    for number in range(NAME.free + 30):
        counted.note("ann", f"203.0.113.{number}", right=False)
    assert 0 < counted.pause("ann", "203.0.113.200") <= NAME.longest
    assert counted.pause("ann", ELSEWHERE) == 0
    assert counted.pause("bob", "203.0.113.200") == 0


def test_the_right_one_clears_its_pair_and_not_the_address(counted, clock):
    guess(counted, clock, PAIR.free)
    counted.note("ann", HERE, right=True)
    assert counted.pause("ann", HERE) == 0
    for number in range(ADDRESS.free - PAIR.free):
        counted.note(f"somebody{number}", HERE, right=False)
    assert counted.pause("ann", HERE) > 0, "a login of one's own makes no guesses free"


def test_an_hour_of_peace_forgets(counted, clock):
    guess(counted, clock, PAIR.free + 2)
    clock.now += attempts.FORGOTTEN + 1
    assert counted.pause("ann", HERE) == 0
    assert guess(counted, clock, PAIR.free) == 0


def test_a_clock_that_is_set_back_locks_nobody_out_for_longer(counted, clock):
    guess(counted, clock, PAIR.free + 20)
    clock.now -= 10**7
    assert counted.pause("ann", HERE) <= PAIR.longest


@pytest.mark.parametrize("name", ["Ann", " ann ", "ANN"])
def test_a_name_written_in_another_way_is_the_same(counted, clock, name):
    guess(counted, clock, PAIR.free)
    assert counted.pause(name, HERE) > 0


@pytest.mark.parametrize("name", ["", "\udcff", "x" * 10**6, "a\0b", "'; drop table wrong; --"])
def test_any_name_can_be_counted(counted, clock, name):
    guess(counted, clock, PAIR.free, name)
    assert counted.pause(name, HERE) > 0
    assert counted.pause("ann", HERE) == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("nonsense", "nonsense", True),
    ],
)
def test_an_address_is_what_one_person_has(one, other, same):
    assert (attempts.network(one) == attempts.network(other)) == same


def test_tasks_of_this_machine_do_not_shut_each_other_out(counted, clock):
    for number in range(3 * ADDRESS.free):
        counted.note(f"somebody{number}", "127.0.0.1", right=False)
    assert counted.pause("ann", "127.0.0.1") == 0
    guess(counted, clock, PAIR.free, address="127.0.0.1")
    assert counted.pause("ann", "127.0.0.1") > 0


def test_counts_are_few_whoever_asks(counted, clock, monkeypatch):
    monkeypatch.setattr(attempts, "KEPT", 50)
    for number in range(100):
        clock.now += 1
        counted.note(f"name{number}", f"10.0.{number}.1", right=False)
    with counted._open() as database:
        assert database.execute("select count(*) from wrong").fetchone() == (50,)


# --- the guard ----------------------------------------------------------------------------


def test_the_guard_checks_nothing_while_it_must_not(tmp_path, clock):
    guard = Guard(Attempts(tmp_path / "a", clock), Places(tmp_path))
    asked = []
    for _ in range(PAIR.free):
        assert guard.checked("ann", HERE, lambda: asked.append(1)) is None
    with pytest.raises(Refused, match="Try again in 5 seconds") as refused:
        guard.checked("ann", HERE, lambda: asked.append(1) or "ann")
    assert refused.value.seconds == 5
    assert len(asked) == PAIR.free
    assert guard.checked("ann", ELSEWHERE, lambda: "ann") == "ann"


def test_many_at_once_get_no_more_guesses(tmp_path):
    """Other processes have a guard of their own over the same folder."""
    guards = [attempts.guard(tmp_path) for _ in range(2)]
    asked = []

    def check(number: int) -> str:
        try:
            guards[number % 2].checked("ann", HERE, lambda: asked.append(number))
        except Refused:
            return "refused"
        return "wrong"

    with ThreadPoolExecutor(20) as pool:
        said = list(pool.map(check, range(60)))
    assert PAIR.free <= len(asked) <= PAIR.free + attempts.PLACES
    assert said.count("refused") == 60 - len(asked)


def test_few_are_checked_at_a_time_in_all_processes(tmp_path):
    most, now, lock = [0], [0], threading.Lock()
    places = [Places(tmp_path), Places(tmp_path)]

    def work(number: int) -> None:
        with places[number % 2].one():
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            time.sleep(0.02)
            with lock:
                now[0] -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(24)))
    assert most[0] == attempts.PLACES


def test_who_finds_no_place_is_refused_in_time(tmp_path):
    with Places(tmp_path, 1).one():
        begin = time.monotonic()
        with pytest.raises(Refused), Places(tmp_path, 1, patience=0.1).one():
            raise AssertionError
        assert time.monotonic() - begin < 5
    with Places(tmp_path, 1).one():
        pass


def test_few_threads_wait_for_a_place(tmp_path):
    """The others are refused at once: other requests need the threads."""
    places = Places(tmp_path, 1, patience=1)
    turned_away = []

    def wait() -> None:
        begin = time.monotonic()
        try:
            with places.one():
                pass
        except Refused:
            turned_away.append(time.monotonic() - begin)

    with Places(tmp_path, 1).one(), ThreadPoolExecutor(30) as pool:
        list(pool.map(lambda _: wait(), range(30)))
    assert len(turned_away) == 30
    assert sum(took < 0.5 for took in turned_away) >= 30 - attempts.WAITING


def test_the_files_are_for_their_owner(tmp_path):
    with Places(tmp_path).one():
        assert Path(tmp_path / "place-0").stat().st_mode & 0o777 == 0o600
