"""What every backend promises about waits, signals, opening and closing."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import pytest
from backend_cases import ITEMS, BackendCase, Heard, Options, OwnError, held, ids

from guard.backends.base import Bounds
from guard.core.vocabulary import Lane, Outcome
from guard.errors import (
    BackendBusy,
    BackendClosed,
    BackendError,
    StatementTimeout,
)
from guard.metrics import ERROR_KINDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.backends.base import Backend, Session

    Opened = Callable[[Options], Backend]
    Eventually = Callable[[Callable[[], object]], None]

SHORT = Bounds(wait_s=0.05, run_s=20.0)


@pytest.mark.parametrize("lane", list(Lane))
def test_a_wait_is_bounded_and_nothing_was_executed(
    backend: Backend, heard: Heard, eventually: Eventually, lane: Lane
) -> None:
    executed = []

    def unit(_: Session) -> None:
        executed.append(1)

    with held(backend, lane, eventually):
        with pytest.raises(BackendBusy):
            (backend.read if lane is Lane.READ else backend.write)(unit, SHORT)
        if lane is Lane.WRITE:
            with pytest.raises(BackendBusy):
                backend.insert(ITEMS, (1, "a", None), SHORT)
        assert backend.signals(lane).waiting == 0
    assert executed == []
    assert ids(backend) == []
    refused = [got for at, _, got in heard.acquires if at is lane and not got]
    assert len(refused) == (1 if lane is Lane.READ else 2)
    assert set(heard.failures) == {(lane, "busy")}


@pytest.mark.parametrize("lane", list(Lane))
def test_a_statement_that_runs_too_long_is_cut_and_the_connection_stays_usable(
    opened: Opened, backend_case: BackendCase, heard: Heard, lane: Lane
) -> None:
    backend = opened(Options(size=1))
    run = backend.read if lane is Lane.READ else backend.write
    with pytest.raises(StatementTimeout) as caught:
        run(lambda s: s.execute(backend_case.slow), Bounds(20.0, 0.2))
    assert backend.classify(caught.value) is Outcome.NEUTRAL
    assert heard.failures == [(lane, "timeout")]
    assert run(lambda s: s.execute("SELECT 1")) == [(1,)]
    assert backend.signals(lane).size == 1


@pytest.mark.parametrize("lane", list(Lane))
def test_the_wait_and_the_run_together_are_bounded_too(
    opened: Opened, backend_case: BackendCase, eventually: Eventually, lane: Lane
) -> None:
    backend = opened(Options(size=1))
    run: Callable[..., Any] = backend.read if lane is Lane.READ else backend.write
    # Far apart: with any of the two longer bounds the statement would still run.
    bounds = Bounds(wait_s=60.0, run_s=60.0, within_s=0.5)
    with ThreadPoolExecutor(1) as threads, held(backend, lane, eventually) as free:
        waiting = threads.submit(run, lambda s: s.execute(backend_case.slow), bounds)
        eventually(lambda: backend.signals(lane).waiting == 1)
        free.set()
        with pytest.raises(StatementTimeout):
            waiting.result(20)
    assert run(lambda s: s.execute("SELECT 1")) == [(1,)]
    assert backend.signals(lane).size == 1


def test_the_configured_time_out_cuts_too(opened: Opened, backend_case: BackendCase) -> None:
    backend = opened(Options(statement_timeout_s=0.2))
    with pytest.raises(StatementTimeout):
        backend.read(lambda s: s.execute(backend_case.slow))


@pytest.mark.parametrize("lane", list(Lane))
def test_signals_are_exact(backend: Backend, eventually: Eventually, lane: Lane) -> None:
    idle = backend.signals(lane)
    assert (idle.in_use, idle.waiting) == (0, 0)
    assert idle.size == idle.size_max
    assert idle.slots >= idle.size
    with ThreadPoolExecutor(3) as threads, held(backend, lane, eventually):
        run: Callable[[Callable[[Session], Any]], Any] = (
            backend.read if lane is Lane.READ else backend.write
        )
        for _ in range(3):
            threads.submit(run, lambda s: s.execute("SELECT 1"))
        eventually(lambda: backend.signals(lane).waiting == 3)
        full = backend.signals(lane)
        assert full == idle._replace(in_use=idle.size, waiting=3)
    eventually(lambda: backend.signals(lane) == idle)


def test_a_saturated_lane_leaves_the_other_alone(backend: Backend, eventually: Eventually) -> None:
    with held(backend, Lane.WRITE, eventually):
        assert ids(backend) == []
    with held(backend, Lane.READ, eventually):
        backend.insert(ITEMS, (1, "a", None))


def test_no_slot_is_ever_lost(
    opened: Opened, backend_case: BackendCase, heard: Heard, eventually: Eventually
) -> None:
    backend = opened(Options(bounds=Bounds(0.02, 20.0)))
    heard.acquires.clear()
    heard.releases.clear()
    before = {lane: backend.signals(lane) for lane in Lane}

    def fail(_: Session) -> None:
        raise OwnError

    def leave_early() -> None:
        with backend.stream() as session:
            next(session.rows(backend_case.numbers, (200,), chunk=7))

    def slow() -> None:
        backend.read(lambda s: s.execute(backend_case.slow), Bounds(0.02, 0.01))

    acts: list[Callable[[random.Random], object]] = [
        lambda _: backend.read(lambda s: s.execute("SELECT 1")),
        lambda _: backend.read(fail),
        lambda _: backend.read(lambda s: s.execute("SELECT * FROM nosuch")),
        lambda _: backend.read(lambda s: s.execute("DELETE FROM items")),
        lambda _: backend.read(lambda s: s.execute(backend_case.numbers, (101,))),
        lambda _: leave_early(),
        lambda _: slow(),
        lambda _: backend.write(lambda s: s.execute("UPDATE items SET name = 'b'")),
        lambda _: backend.write(fail),
        lambda draw: backend.insert(ITEMS, (draw.randrange(20), "a", None)),
        lambda draw: backend.insert(ITEMS, (draw.randrange(20), None, None)),
    ]

    def some(seed: int) -> None:
        draw = random.Random(seed)
        for _ in range(50):
            with suppress(Exception):
                draw.choice(acts)(draw)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(some, range(6)))
    # A writer of its own may tell that it is idle just after the last caller was answered.
    eventually(lambda: {lane: backend.signals(lane) for lane in Lane} == before)
    for lane in Lane:
        got = sum(1 for at, _, ok in heard.acquires if at is lane and ok)
        assert got == sum(1 for at, _, _ in heard.releases if at is lane) > 0
    assert {kind for _, kind in heard.failures} <= set(ERROR_KINDS)


def test_not_open_is_closed(backend_case: BackendCase, heard: Heard) -> None:
    backend = backend_case.make(heard, Options())
    for act in (
        lambda: backend.read(lambda s: s.execute("SELECT 1")),
        lambda: backend.write(lambda s: s.execute("SELECT 1")),
        lambda: backend.insert(ITEMS, (1, "a", None)),
    ):
        with pytest.raises(BackendClosed):
            act()  # type: ignore[no-untyped-call]
    with pytest.raises(BackendClosed), backend.stream():
        pass
    assert not backend.ready
    assert {backend.signals(lane).size for lane in Lane} == {0}
    backend.close()


def test_what_can_not_be_opened_says_why(
    backend_case: BackendCase, heard: Heard, eventually: Eventually
) -> None:
    backend = backend_case.make_broken(heard, Options())
    with ExitStack() as stack:
        stack.callback(backend.close, 1.0)
        backend.open()
        eventually(lambda: backend.opening_error)
        assert "\n" not in backend.opening_error
        assert not backend.wait_ready(0.01)
        with pytest.raises(BackendClosed, match="not open yet"):
            backend.read(lambda s: s.execute("SELECT 1"))


def test_prepare_is_tried_until_it_works_and_then_never_again(
    backend_case: BackendCase, heard: Heard
) -> None:
    backend = backend_case.make(heard, Options())
    tries: list[str] = []

    def prepare(session: Session) -> None:
        session.execute(backend_case.create)
        tries.append(backend.opening_error)
        if len(tries) < 3:
            raise OwnError("not yet")

    backend.open(prepare)
    assert backend.wait_ready(20)
    assert tries == ["", "not yet", "not yet"]
    assert backend.opening_error == ""
    backend.insert(ITEMS, (1, "a", None))
    backend.open(prepare)
    assert ids(backend) == [1]
    backend.close()
    assert len(tries) == 3


@pytest.mark.parametrize("lane", list(Lane))
def test_a_probe_needs_no_connection_of_the_pool(
    backend: Backend, eventually: Eventually, lane: Lane
) -> None:
    with held(backend, lane, eventually):
        backend.probe(lane, 5.0)


def test_a_probe_of_what_is_not_there_fails(backend_case: BackendCase, heard: Heard) -> None:
    backend = backend_case.make_broken(heard, Options())
    for lane in Lane:
        with pytest.raises(BackendError):
            backend.probe(lane, 0.5)
    backend.close()


def test_close_lets_running_units_end_and_refuses_new_ones(
    backend: Backend, eventually: Eventually
) -> None:
    with ThreadPoolExecutor(1) as threads, held(backend, Lane.READ, eventually) as free:
        closing = threads.submit(backend.close, 20.0)
        eventually(lambda: not backend.ready)
        with pytest.raises(BackendClosed):
            ids(backend)
        with pytest.raises(BackendClosed):
            backend.insert(ITEMS, (1, "a", None))
        free.set()
        closing.result(20)
    backend.close()
    assert {backend.signals(lane).size for lane in Lane} == {0}
    with pytest.raises(BackendClosed):
        backend.open()


def test_close_cuts_what_does_not_end(
    opened: Opened, backend_case: BackendCase, eventually: Eventually
) -> None:
    backend = opened(Options(size=1))
    with ThreadPoolExecutor(2) as threads:
        calls = [
            threads.submit(run, lambda s: s.execute(backend_case.slow), Bounds(20.0, 200.0))
            for run in (backend.read, backend.write)
        ]
        eventually(lambda: all(backend.signals(lane).in_use for lane in Lane))
        backend.close(0.1)
        for call in calls:
            assert isinstance(call.exception(20), BackendError)
