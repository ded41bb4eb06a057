from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Never

import pytest

from guard.backends.base import Bounds, Insert, PoolSignals
from guard.core.vocabulary import Lane, Outcome
from guard.errors import (
    BackendBusy,
    BackendClosed,
    BackendFailed,
    ReadOnlyViolation,
    StatementTimeout,
)
from guard.testing import FakeClock, MemoryBackend, MemoryRecorder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.backends.base import Row, Session


SOON = Bounds(0.001, 5.0)
LONG = Bounds(20.0, 20.0)
ITEMS = Insert("items", ("id",))


class Observer:
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.heard = []

    def acquired(self, lane: Lane, waited_s: float, *, got: bool) -> None:
        self.heard.append(("acquired", lane, waited_s, got))

    def released(self, lane: Lane, held_s: float, outcome: Outcome) -> None:
        self.heard.append(("released", lane, held_s, outcome))

    def queried(self, lane: Lane, took_s: float, outcome: Outcome) -> None:
        self.heard.append(("queried", lane, took_s, outcome))

    def failed(self, lane: Lane, kind: str) -> None:
        """Errors' kinds are not looked at here."""


def test_sessions_hand_statements_to_the_function() -> None:
    asked = []

    def execute(sql: str, params: Sequence[object]) -> list[Row]:
        asked.append((sql, tuple(params)))
        return [(1,), (2,)]

    backend = MemoryBackend(execute=execute)
    assert backend.read(lambda session: session.execute("SELECT ?", (5,))) == [(1,), (2,)]
    assert backend.write(lambda session: session.execute("DELETE", prepare=False))
    with backend.stream() as session:
        assert list(session.rows("SELECT 1", chunk=1)) == [(1,), (2,)]
    assert asked == [("SELECT ?", (5,)), ("DELETE", ()), ("SELECT 1", ())]


def test_without_a_function_there_are_no_rows() -> None:
    assert MemoryBackend().read(lambda session: session.execute("")) == []


def test_a_read_session_refuses_to_write() -> None:
    with pytest.raises(ReadOnlyViolation):
        MemoryBackend().read(lambda session: session.execute("INSERT INTO t VALUES (1)"))


def test_a_session_is_useless_after_its_unit() -> None:
    backend = MemoryBackend()
    session = backend.read(lambda session: session)
    with pytest.raises(BackendClosed):
        session.execute("SELECT 1")


def test_a_full_pool_makes_wait_and_then_refuses() -> None:
    observer = Observer()
    backend = MemoryBackend(1, observer=observer)
    with backend.stream():
        assert backend.signals(Lane.READ) == PoolSignals(1, 1, 1, 0, 1)
        with pytest.raises(BackendBusy):
            backend.read(lambda _: None, SOON)
        backend.write(lambda _: None, SOON)
    assert backend.signals(Lane.READ) == PoolSignals(1, 1, 0, 0, 1)
    assert [what[3] for what in observer.heard if what[0] == "acquired"] == [True, False, True]


def test_a_waiter_gets_the_place_that_comes_free() -> None:
    backend = MemoryBackend(1)
    done = []
    waiter = threading.Thread(target=lambda: done.append(backend.read(lambda _: 5, LONG)))
    with backend.stream():
        waiter.start()
        while backend.signals(Lane.READ).waiting == 0:
            assert waiter.is_alive()
        assert done == []
    waiter.join(20)
    assert done == [5]


def test_close_lets_units_end_and_refuses_who_waits() -> None:
    backend = MemoryBackend(1)
    refused = []

    def wait() -> None:
        with pytest.raises(BackendClosed):
            backend.read(lambda _: None, LONG)
        refused.append(True)

    waiter = threading.Thread(target=wait)
    with backend.stream() as session:
        waiter.start()
        while backend.signals(Lane.READ).waiting == 0:
            assert waiter.is_alive()
        backend.close(0.0)
        waiter.join(20)
        assert session.execute("SELECT 1") == []
    assert refused == [True]
    backend.close()
    with pytest.raises(BackendClosed):
        backend.write(lambda _: None)


def test_a_failure_is_raised_by_statements_inserts_and_probes_until_it_is_taken_away() -> None:
    backend = MemoryBackend()
    backend.failure = BackendFailed("away")
    for use in (
        lambda: backend.read(lambda session: session.execute("SELECT 1")),
        lambda: backend.insert(ITEMS, (1,)),
        lambda: backend.probe(Lane.READ, 1.0),
    ):
        with pytest.raises(BackendFailed, match="away"):
            use()
    assert backend.rows == []
    backend.failure = None
    backend.insert(ITEMS, (1,))
    backend.probe(Lane.WRITE, 1.0)
    assert backend.rows == [(ITEMS, (1,))]


def test_a_probe_tells_any_failure_as_a_backends() -> None:
    backend = MemoryBackend()
    backend.failure = ValueError("odd")
    with pytest.raises(BackendFailed, match="odd"):
        backend.probe(Lane.READ, 1.0)
    backend.ready = False
    with pytest.raises(BackendClosed):
        backend.probe(Lane.READ, 1.0)


def test_a_unit_that_runs_too_long_is_cut() -> None:
    clock = FakeClock()

    def slow(_sql: str, _params: Sequence[object]) -> list[Row]:
        clock.advance(3.0)
        return []

    observer = Observer()
    backend = MemoryBackend(execute=slow, clock=clock, observer=observer)

    def unit(session: Session) -> None:
        session.execute("SELECT 1")
        session.execute("SELECT 2")

    with pytest.raises(StatementTimeout):
        backend.read(unit, Bounds(1.0, 5.0))
    assert observer.heard == [
        ("acquired", Lane.READ, 0.0, True),
        ("queried", Lane.READ, 3.0, Outcome.OK),
        ("queried", Lane.READ, 3.0, Outcome.NEUTRAL),
        ("released", Lane.READ, 6.0, Outcome.NEUTRAL),
    ]


def test_it_opens_after_its_preparation() -> None:
    asked = []
    backend = MemoryBackend(execute=lambda sql, _: asked.append(sql) or [], opened=False)
    assert not backend.wait_ready(0.0)
    with pytest.raises(BackendClosed):
        backend.read(lambda _: None)

    def broken(_session: Session) -> Never:
        raise ValueError("first line\nsecond")

    backend.open(broken)
    assert (backend.ready, backend.opening_error) == (False, "first line")
    backend.open(lambda session: session.execute("CREATE TABLE t (id INT)"))
    assert backend.wait_ready(0.0)
    assert backend.opening_error == ""
    assert asked == ["CREATE TABLE t (id INT)"]
    backend.close()
    backend.open()
    assert backend.ready


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (BackendFailed(), Outcome.FAILURE),
        (BackendBusy(), Outcome.NEUTRAL),
        (BackendClosed(), Outcome.NEUTRAL),
        (StatementTimeout(), Outcome.NEUTRAL),
        (KeyboardInterrupt(), Outcome.NEUTRAL),
        (ReadOnlyViolation(), Outcome.OK),
        (ValueError(), Outcome.OK),
    ],
)
def test_what_an_error_says_about_health(error: Exception, outcome: Outcome) -> None:
    assert MemoryBackend().classify(error) is outcome


def test_a_fake_clock_never_goes_back() -> None:
    clock = FakeClock(5.0)
    clock.advance(0.0)
    assert clock.now_s() == 5.0
    with pytest.raises(ValueError, match="go back"):
        clock.advance(-1.0)


def test_the_memory_recorder_adds_up() -> None:
    from guard import metrics

    recorder = MemoryRecorder()
    recorder.add(metrics.HTTP_RESPONSES, ("GET", "/", "200"))
    recorder.add(metrics.HTTP_RESPONSES, ("GET", "/", "200"), 2.0)
    recorder.set(metrics.INFLIGHT, ("read",), 3)
    for value in (0.5, 1.0, 1.5, 1000.0):
        recorder.observe(metrics.BATCH_SIZE, (), value)
    found = {(sample.metric, sample.labels): sample for sample in recorder.collect()}
    assert found[metrics.HTTP_RESPONSES, ("GET", "/", "200")].value == 3.0
    assert found[metrics.INFLIGHT, ("write",)].value == 0.0
    assert found[metrics.BATCH_SIZE, ()].counts == (2, 1, 0, 0, 0, 0, 0, 0, 1)
    assert recorder.value(metrics.BATCH_SIZE) == 1003.0
    assert recorder.count(metrics.BATCH_SIZE) == 4
    assert recorder.count(metrics.SHED_DURATION) == 0
    assert recorder.value(metrics.HTTP_RESPONSES, ("PUT", "/", "200")) == 0.0
