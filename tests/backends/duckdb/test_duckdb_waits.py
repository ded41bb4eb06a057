"""The writer's queue, as whoever looks for lock waits sees it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING

from backend_cases import BOUNDS, Heard

from guard.backends.duckdb import DuckDBBackend, DuckDBConfig
from guard.backends.duckdb.queue import Work, WriteQueue
from guard.core.vocabulary import Lane
from guard.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_who_waits_for_the_writer_is_told_with_the_oldest_wait(
    duckdb_path: Path, eventually: Callable[[Callable[[], object]], None]
) -> None:
    clock = FakeClock()
    backend = DuckDBBackend(DuckDBConfig(path=str(duckdb_path), bounds=BOUNDS), Heard(), clock)
    assert backend.lock_waits() == ()
    backend.open(lambda session: session.execute("CREATE TABLE t (n integer)") and None)
    assert backend.wait_ready(20)
    assert backend.lock_waits() == ()
    entered, release = Event(), Event()

    def hold(_session: object) -> None:
        entered.set()
        release.wait(20)

    with ThreadPoolExecutor(3) as threads:
        running = [threads.submit(backend.write, hold)]
        assert entered.wait(20)
        running += [threads.submit(backend.write, lambda _: None) for _ in range(2)]
        eventually(lambda: backend.signals(Lane.WRITE).waiting == 2)
        clock.advance(1.5)
        [wait] = backend.lock_waits()
        release.set()
        for one in running:
            one.result(20)
    assert (wait.lane, wait.waiters, wait.waited_s, wait.lock) == (Lane.WRITE, 2, 1.5, "writer")
    assert wait.document()["blockers"] == []
    assert backend.lock_waits() == ()
    backend.close()


def test_a_unit_in_the_writers_hands_waits_until_its_turn() -> None:
    clock = FakeClock()
    queue = WriteQueue(clock)
    first, second = (Work(BOUNDS, clock.now_s(), str) for _ in range(2))
    queue.put(first)
    queue.put(second)
    taken = queue.take(128)
    clock.advance(1.0)
    queue.put(Work(BOUNDS, clock.now_s(), str))
    assert queue.oldest_wait_s == 1.0
    queue.claim([first])
    clock.advance(1.0)
    assert (queue.waiting, queue.oldest_wait_s) == (2, 2.0)
    queue.claim(taken)
    assert (queue.waiting, queue.oldest_wait_s) == (1, 1.0)
