from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

import pytest  # noqa: TC002 -- Hypothesis resolves the annotations
from hypothesis import given
from hypothesis import strategies as st

from guard.backends.postgres import admission
from guard.backends.postgres.admission import Admission

Until = Callable[[Callable[[], object]], None]


def test_lets_the_limit_in_and_no_more() -> None:
    door = Admission(2)
    assert [door.enter(0) for _ in range(3)] == [True, True, False]
    assert (door.in_use, door.waiting) == (2, 0)


def test_who_leaves_lets_the_longest_waiting_in(until: Until) -> None:
    door, order = Admission(1), []
    assert door.enter(0)

    def come(name: str) -> None:
        assert door.enter(10)
        order.append(name)
        door.leave()

    threads = []
    for number, name in enumerate("abc"):
        threads.append(Thread(target=come, args=(name,)))
        threads[-1].start()
        until(lambda expected=number + 1: door.waiting == expected)
    door.leave()
    for thread in threads:
        thread.join()
    assert order == ["a", "b", "c"]
    assert (door.in_use, door.waiting) == (0, 0)


def test_nobody_overtakes_who_waits(until: Until) -> None:
    door = Admission(0)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(door.enter, 10)
        until(lambda: door.waiting == 1)
        assert not door.enter(0)
        door.resize(1)
        assert first.result()


def test_a_larger_limit_lets_waiters_in_and_a_smaller_one_throws_nobody_out(until: Until) -> None:
    door = Admission(1)
    with ThreadPoolExecutor(2) as threads:
        assert door.enter(0)
        waiters = [threads.submit(door.enter, 10) for _ in range(2)]
        until(lambda: door.waiting == 2)
        door.resize(3)
        assert [waiter.result() for waiter in waiters] == [True, True]
    door.resize(1)
    assert door.in_use == 3
    door.leave()
    assert not door.enter(0)


def test_close_refuses_who_waits_and_who_comes(until: Until) -> None:
    door = Admission(1)
    assert door.enter(0)
    with ThreadPoolExecutor(1) as threads:
        waiter = threads.submit(door.enter, 10)
        until(lambda: door.waiting == 1)
        door.close()
        assert not waiter.result()
    assert not door.enter(0)
    door.leave()
    assert (door.in_use, door.waiting) == (0, 0)


def test_a_place_given_at_the_last_moment_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Admission(1)
    assert door.enter(0)

    class LateGate:
        def acquire(self, timeout: float = -1) -> bool:
            if timeout == 0:
                door.leave()  # grants the place just after the time-out
            return False

        def release(self) -> None:
            pass

    monkeypatch.setattr(admission, "Lock", LateGate)
    assert door.enter(0)
    assert (door.in_use, door.waiting) == (1, 0)


@given(
    st.integers(0, 3),
    st.lists(st.one_of(st.sampled_from(["enter", "leave", "close"]), st.integers(0, 3))),
)
def test_behaves_as_a_plain_counter(limit: int, steps: list[str | int]) -> None:
    door, inside, closed = Admission(limit), 0, False
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


def test_many_threads_never_exceed_the_limit_and_leave_nothing_behind() -> None:
    door, seen = Admission(3), []

    def work(_: int) -> int:
        if not door.enter(5):
            return 0
        seen.append(door.in_use)
        door.leave()
        return 1

    with ThreadPoolExecutor(16) as threads:
        assert sum(threads.map(work, range(800))) == 800
    assert max(seen) <= 3
    assert (door.in_use, door.waiting) == (0, 0)
