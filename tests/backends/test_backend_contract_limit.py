"""What every backend promises about a limit below its pool's size, and about who is next."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING

import pytest
from backend_cases import Options

from guard.backends.base import Bounds
from guard.core.vocabulary import Lane
from guard.errors import BackendBusy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor

    from guard.backends.base import Backend

    Opened = Callable[[Options], Backend]
    Eventually = Callable[[Callable[[], object]], None]

LONG = Bounds(wait_s=20.0, run_s=20.0)
SHORT = Bounds(wait_s=0.05, run_s=20.0)


@contextmanager
def reading(backend: Backend, readers: int, eventually: Eventually) -> Iterator[Executor]:
    """Hold connections over the block; yields threads for more."""
    gate = Event()
    with ThreadPoolExecutor() as threads:
        running = [
            threads.submit(backend.read, lambda _: gate.wait(20), LONG) for _ in range(readers)
        ]
        try:
            eventually(lambda: backend.signals(Lane.READ).in_use == readers)
            yield threads
        finally:
            gate.set()
        assert all(each.result(20) for each in running)


def test_no_more_than_the_limit_are_lent(opened: Opened, eventually: Eventually) -> None:
    backend = opened(Options(size=3))
    backend.limit(Lane.READ, 1)
    assert backend.signals(Lane.READ)[:2] == (3, 3)
    assert backend.signals(Lane.READ).slots == 1
    with reading(backend, 1, eventually):
        with pytest.raises(BackendBusy):
            backend.read(lambda _: None, SHORT)
        backend.limit(Lane.READ, 2)
        backend.read(lambda _: None, SHORT)


def test_shrinking_takes_no_connection_away_and_growing_serves_who_waits(
    opened: Opened, eventually: Eventually
) -> None:
    backend = opened(Options(size=3))
    with reading(backend, 2, eventually) as threads:
        backend.limit(Lane.READ, 1)
        assert backend.signals(Lane.READ).in_use == 2
        waiting = threads.submit(backend.read, lambda _: 5, LONG)
        eventually(lambda: backend.signals(Lane.READ).waiting == 1)
        backend.limit(Lane.READ, 3)
        assert waiting.result(20) == 5
    assert backend.signals(Lane.READ).slots == 3


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_free_connection_goes_to_whom_the_bounds_say(
    opened: Opened, eventually: Eventually, *, newest_first: bool
) -> None:
    backend, order = opened(Options(size=1)), []
    bounds = LONG._replace(newest_first=newest_first)
    with reading(backend, 1, eventually) as threads:
        for number in range(3):
            threads.submit(backend.read, lambda _, number=number: order.append(number), bounds)
            eventually(lambda number=number: backend.signals(Lane.READ).waiting == number + 1)
    eventually(lambda: len(order) == 3)
    assert order == ([2, 1, 0] if newest_first else [0, 1, 2])
