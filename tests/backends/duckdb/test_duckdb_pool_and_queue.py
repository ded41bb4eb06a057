"""The reader pool and the writer's queue, with their races forced."""

from __future__ import annotations

import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from guard.backends.base import Bounds, Insert
from guard.backends.duckdb.queue import RowInsert, State, Unit, WriteQueue
from guard.backends.duckdb.readers import ReaderPool
from guard.clock import MonotonicClock
from guard.errors import (
    BackendBusy,
    BackendClosed,
    BackendFailed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    Eventually = Callable[[Callable[[], object]], None]


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


def test_readers_are_given_out_in_the_order_of_arrival(
    connection: duckdb.DuckDBPyConnection, eventually: Eventually
) -> None:
    pool = ReaderPool(connection.cursor, 1)
    order: list[int] = []
    first = pool.take(0)

    def one(n: int) -> None:
        handle = pool.take(20)
        order.append(n)
        pool.give(handle)

    with ThreadPoolExecutor(5) as threads:
        for n in range(5):
            threads.submit(one, n)
            eventually(lambda n=n: pool.counts().waiting == n + 1)
        with pytest.raises(BackendBusy):
            pool.take(0.01)
        assert pool.counts() == (1, 1, 5)
        pool.give(first)
    assert order == list(range(5))
    assert pool.counts() == (1, 0, 0)
    pool.close()


def test_a_closed_pool_refuses_and_closes_what_comes_back(
    connection: duckdb.DuckDBPyConnection, eventually: Eventually
) -> None:
    pool = ReaderPool(connection.cursor, 1)
    handle = pool.take(0)
    with ThreadPoolExecutor(1) as threads:
        waiter = threads.submit(pool.take, 20)
        eventually(lambda: pool.counts().waiting)
        pool.close()
        assert isinstance(waiter.exception(20), BackendClosed)
    with pytest.raises(BackendClosed):
        pool.take(0)
    assert not pool.drain(0)
    pool.give(handle)
    assert pool.drain()
    with pytest.raises(duckdb.ConnectionException):
        handle.cursor.execute("SELECT 1")


class Yielding:
    """Gives up the processor at random bytecodes of one file, so that its races show."""

    def __init__(self, file: str, seed: int) -> None:
        self._file = file
        self._draw = random.Random(seed)
        self._pause = threading.Event()

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        if not frame.f_code.co_filename.endswith(self._file):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and self._draw.random() < 0.02:
            self._pause.wait(0.0001)
        del arg
        return self


def traced(act: Callable[[], object], file: str, seed: int) -> object:
    sys.settrace(Yielding(file, seed))
    try:
        return act()
    finally:
        sys.settrace(None)


class Nobody:
    """A cursor that nobody asks anything."""

    def close(self) -> None:
        """Nothing to close."""


@pytest.mark.parametrize("seed", range(3))
def test_no_reader_is_lost_between_a_time_out_and_a_hand_over(seed: int) -> None:
    pool = ReaderPool(Nobody, 2)  # type: ignore[arg-type]
    given: list[int] = []

    def some(thread: int) -> None:
        draw = random.Random(seed * 100 + thread)
        for _ in range(25):
            try:
                handle = pool.take(draw.random() * 0.002)
            except BackendBusy:
                continue
            given.append(1)
            assert pool.counts().in_use <= 2
            pool.give(handle, broken=draw.random() < 0.3)

    with ThreadPoolExecutor(6) as threads:
        list(
            threads.map(
                lambda n: traced(lambda: some(n), "duckdb/readers.py", seed * 10 + n), range(6)
            )
        )
    assert pool.counts() == (2, 0, 0)
    assert given


@pytest.mark.parametrize("seed", range(3))
def test_a_unit_is_either_given_up_or_taken_and_the_count_is_exact(seed: int) -> None:
    clock = MonotonicClock()
    queue = WriteQueue(clock)
    taken: list[int] = []
    gone: list[int] = []
    led_by_callers: list[int] = []
    one_leads = threading.Lock()

    def lead(units: list[Unit]) -> None:
        assert one_leads.acquire(blocking=False)
        for unit in queue.claim(units):
            taken.append(id(unit))
            queue.finish(unit)
        one_leads.release()
        queue.end_lead()

    def write() -> None:
        while units := queue.take(4):
            lead(units)

    kept: list[RowInsert] = []

    def some(thread: int) -> None:
        draw = random.Random(seed * 100 + thread)
        for n in range(25):
            wait_s = draw.random() * 0.002
            unit = RowInsert(Bounds(wait_s, 1.0), clock.now_s(), Insert("t", ("a",)), (n,))
            kept.append(unit)
            if queue.put(unit, may_lead=True):
                led_by_callers.append(n)
                lead([unit])
            if not unit.gate.acquire(timeout=wait_s) and not queue.give_up(unit):
                assert unit.gate.acquire(timeout=20)
            if unit.state is State.GONE:
                gone.append(id(unit))

    with ThreadPoolExecutor(7) as threads:
        writer = threads.submit(lambda: traced(write, "duckdb/queue.py", seed))
        list(
            threads.map(
                lambda n: traced(lambda: some(n), "duckdb/queue.py", seed * 10 + n), range(6)
            )
        )
        queue.close()
        writer.result(20)
    assert sorted(taken + gone) == sorted(map(id, kept))
    assert led_by_callers
    assert queue.waiting == 0
    assert not queue.led
    with pytest.raises(BackendClosed):
        queue.put(kept[0])


def test_an_outcome_is_given_once() -> None:
    queue = WriteQueue(MonotonicClock())
    unit = RowInsert(Bounds(20.0, 1.0), MonotonicClock().now_s(), Insert("t", ("a",)), (1,))
    queue.put(unit)
    assert queue.claim(queue.take(1)) == [unit]
    queue.finish(unit, "first")
    queue.finish(unit, error=BackendFailed("second"))
    assert (unit.result, unit.error) == ("first", None)
    assert queue.claim([unit]) == []
    assert not queue.give_up(unit)
