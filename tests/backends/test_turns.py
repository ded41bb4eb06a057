from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.backends import turns
from guard.backends.turns import Turns

Eventually = Callable[[Callable[[], object]], None]


def test_lets_the_limit_in_and_no_more() -> None:
    door = Turns(2)
    assert [door.enter(0) for _ in range(3)] == [True, True, False]
    assert (door.in_use, door.waiting) == (2, 0)


def test_who_leaves_lets_the_longest_waiting_in(eventually: Eventually) -> None:
    door, order = Turns(1), []
    assert door.enter(0)

    def come(name: str) -> None:
        assert door.enter(10)
        order.append(name)
        door.leave()

    threads = []
    for number, name in enumerate("abc"):
        threads.append(Thread(target=come, args=(name,)))
        threads[-1].start()
        eventually(lambda expected=number + 1: door.waiting == expected)
    door.leave()
    for thread in threads:
        thread.join()
    assert order == ["a", "b", "c"]
    assert (door.in_use, door.waiting) == (0, 0)


@pytest.mark.parametrize(
    ("last_says", "expected"), [(True, ["c", "b", "a"]), (False, ["a", "b", "c"])]
)
def test_the_one_who_came_last_says_whether_the_newest_is_next(
    eventually: Eventually, *, last_says: bool, expected: list[str]
) -> None:
    door, order = Turns(1), []
    assert door.enter(0)

    def come(name: str, *, newest_first: bool) -> None:
        assert door.enter(10, newest_first=newest_first)
        order.append(name)
        door.leave()

    threads = []
    says = zip("abc", (not last_says, not last_says, last_says), strict=True)
    for number, (name, newest_first) in enumerate(says):
        threads.append(Thread(target=come, args=(name,), kwargs={"newest_first": newest_first}))
        threads[-1].start()
        eventually(lambda expected=number + 1: door.waiting == expected)
    door.leave()
    for thread in threads:
        thread.join()
    assert order == expected
    assert (door.in_use, door.waiting) == (0, 0)


def test_drain_waits_for_the_last_one() -> None:
    door = Turns(2)
    assert door.drain(0)
    assert door.enter(0)
    assert door.enter(0)
    assert not door.drain(0.001)
    with ThreadPoolExecutor(1) as threads:
        drained = threads.submit(door.drain, 10)
        door.leave()
        door.leave()
        assert drained.result()


def test_nobody_overtakes_who_waits(eventually: Eventually) -> None:
    door = Turns(0)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(door.enter, 10)
        eventually(lambda: door.waiting == 1)
        assert not door.enter(0)
        door.resize(1)
        assert first.result()


def test_a_larger_limit_lets_waiters_in_and_a_smaller_one_throws_nobody_out(
    eventually: Eventually,
) -> None:
    door = Turns(1)
    with ThreadPoolExecutor(2) as threads:
        assert door.enter(0)
        waiters = [threads.submit(door.enter, 10) for _ in range(2)]
        eventually(lambda: door.waiting == 2)
        door.resize(3)
        assert [waiter.result() for waiter in waiters] == [True, True]
    door.resize(1)
    assert door.in_use == 3
    door.leave()
    assert not door.enter(0)


def test_close_refuses_who_waits_and_who_comes(eventually: Eventually) -> None:
    door = Turns(1)
    assert door.enter(0)
    with ThreadPoolExecutor(1) as threads:
        waiter = threads.submit(door.enter, 10)
        eventually(lambda: door.waiting == 1)
        door.close()
        assert not waiter.result()
    assert not door.enter(0)
    door.leave()
    assert (door.in_use, door.waiting) == (0, 0)


def test_a_place_given_at_the_last_moment_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Turns(1)
    assert door.enter(0)

    class LateGate:
        def acquire(self, timeout: float = -1) -> bool:
            if timeout == 0:
                door.leave()  # grants the place just after the time-out
            return False

        def release(self) -> None:
            pass

    monkeypatch.setattr(turns, "Lock", LateGate)
    assert door.enter(0)
    assert (door.in_use, door.waiting) == (1, 0)


@given(
    st.integers(0, 3),
    st.lists(st.one_of(st.sampled_from(["enter", "leave", "close"]), st.integers(0, 3))),
)
def test_behaves_as_a_plain_counter(limit: int, steps: list[str | int]) -> None:
    door, inside, closed = Turns(limit), 0, False
    for step in steps:
        if isinstance(step, int):
            limit = step
            door.resize(step)
        elif step == "close":
            closed = True
            door.close()
        elif step == "enter":
            granted = inside < limit and not closed
            assert door.enter(0) is granted
            inside += granted
        elif inside:
            door.leave()
            inside -= 1
        assert (door.in_use, door.waiting) == (inside, 0)


@pytest.mark.parametrize("newest_first", [True, False])
def test_many_threads_never_exceed_the_limit(*, newest_first: bool) -> None:
    door, seen = Turns(3), []

    def work(_: int) -> int:
        if not door.enter(20, newest_first=newest_first):
            return 0
        seen.append(door.in_use)
        door.leave()
        return 1

    with ThreadPoolExecutor(16) as threads:
        assert sum(threads.map(work, range(800))) == 800
    assert max(seen) <= 3
    assert (door.in_use, door.waiting) == (0, 0)
