from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pybreaker
import pytest

from guard import metrics
from guard.backends.base import PoolSignals
from guard.breaker import LaneBreaker
from guard.controller import Controller
from guard.core.admission import Limits
from guard.core.breaker_types import BreakerRules
from guard.core.vocabulary import BreakerPhase, Lane, Outcome, Policy
from guard.errors import BackendFailed
from guard.rules import Rules
from guard.testing import FakeClock, MemoryBackend, MemoryRecorder
from guard.watcher import Progress, Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

    from guard.watcher import Probed


LIMITS = Limits(Policy.PREDICTIVE, permits_max=6, waiters_max=4, wait_budget_s=0.1)


class World:
    """A watcher with its parts at hand; stopped at the end of a ``with`` block."""

    def __init__(
        self,
        *,
        pool_size: int = 2,
        backend: bool = True,
        recorder: MemoryRecorder | None = None,
        breakers: Mapping[Lane, Probed] | None = None,
        single_writer: bool = False,
    ) -> None:
        self.clock = FakeClock()
        self.recorder = recorder or MemoryRecorder()
        self.backend = MemoryBackend(pool_size) if backend else None
        self.ready = True
        self.looks: list[float] = []
        self.controller = Controller(
            Rules(lanes=dict.fromkeys(Lane, LIMITS)),
            {lane: lambda: 2 for lane in Lane},
            clock=self.clock,
        )
        self.watcher = Watcher(
            self.controller, self.backend, self.recorder, breakers or {},
            ready=lambda: self.ready, probe_timeout_s=0.5, single_writer=single_writer,
            also=[self.looks.append],
        )  # fmt: skip

    def __enter__(self) -> Self:
        self.watcher.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.watcher.stop(20.0)

    def gauge(self, metric: metrics.Metric, *labels: str) -> float:
        return self.recorder.value(metric, labels)


class Beating(MemoryRecorder):
    """A recorder with a heartbeat, like the board's; may be told to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.beats = []
        self.failing = False
        self.failed, self.beaten_after = threading.Event(), threading.Event()

    def heartbeat(self, now_s: float) -> None:
        if self.failing:
            self.failed.set()
            raise ValueError("no board")
        self.beats.append(now_s)
        if self.failed.is_set():
            self.beaten_after.set()


class Breaker:
    """A breaker whose probe is always due; raises the first time."""

    def __init__(self) -> None:
        self.asked = 0
        self.again, self.looked = threading.Event(), threading.Event()

    def remaining_s(self) -> float:
        return 1.5

    def run_probe_if_due(self, _probe: Callable[[], None]) -> bool:
        self.asked += 1
        if self.asked == 1:
            raise ValueError("broken")
        self.again.set()
        return True

    def look(self) -> None:
        self.looked.set()

    def check(self, _probe: Callable[[], None]) -> None:
        raise AssertionError("there are connections")


def test_without_a_database_it_only_looks_what_others_have_changed() -> None:
    breaker = Breaker()
    with World(backend=False, breakers={Lane.READ: breaker}):
        assert breaker.looked.wait(20)
    assert breaker.asked == 0


def test_a_lane_without_a_connection_is_checked() -> None:
    breaker = LaneBreaker(Lane.READ, BreakerRules(), FakeClock(), lambda: 0.0, MemoryRecorder())
    opened = threading.Event()
    breaker.view.add_listener(Opened(opened))
    world = World(pool_size=0, breakers={Lane.READ: breaker})
    world.backend.failure = BackendFailed("away")
    world.backend.ready = False
    with world:
        # Not yet open is no reason to think that it is away.
        assert not opened.wait(0.3)
        world.backend.ready = True
        assert opened.wait(20)
    assert breaker.phase is BreakerPhase.OPEN


def pool(in_use: int) -> PoolSignals:
    return PoolSignals(size=2, size_max=2, in_use=in_use, waiting=0, slots=2)


def test_connections_that_do_not_come_back_are_noticed_once_a_second() -> None:
    progress = Progress()
    seen = [progress.stuck(pool(2), 0.1, now_s) for now_s in (10.0, 10.5, 11.0, 11.5, 12.0, 12.5)]
    assert seen == [False, False, True, False, True, False]


@pytest.mark.parametrize(("in_use", "hold_s"), [(1, 0.1), (2, 0.2)], ids=["idle", "came back"])
def test_one_connection_that_comes_back_is_progress(in_use: int, hold_s: float) -> None:
    progress = Progress()
    assert not progress.stuck(pool(2), 0.1, 10.0)
    assert not progress.stuck(pool(in_use), hold_s, 10.9)
    assert not progress.stuck(pool(2), hold_s, 11.8)
    assert progress.stuck(pool(2), hold_s, 11.9)


def test_a_lane_whose_connections_are_stuck_is_checked() -> None:
    breaker = LaneBreaker(Lane.READ, BreakerRules(), FakeClock(), lambda: 0.0, MemoryRecorder())
    opened = threading.Event()
    breaker.view.add_listener(Opened(opened))
    world = World(pool_size=1, breakers={Lane.READ: breaker})
    with world.backend.stream(), world:
        world.backend.failure = BackendFailed("frozen")
        for _ in range(2000):
            world.clock.advance(0.5)
            if opened.wait(0.01):
                break
    assert breaker.phase is BreakerPhase.OPEN


class Opened(pybreaker.CircuitBreakerListener):
    """Sets an event at the first change."""

    def __init__(self, event: threading.Event) -> None:
        self._event = event

    def state_change(self, *_change: object) -> None:
        self._event.set()


def test_the_gauges_of_a_worker() -> None:
    world = World()
    _, permit = world.controller.admit(world.controller.scope(Lane.READ), Lane.READ)
    with world.backend.stream():
        world.watcher.publish(0.2)
    assert world.gauge(metrics.WORKER_READY) == 1
    assert world.gauge(metrics.INFLIGHT, "read") == 1
    assert world.gauge(metrics.LIMIT, "write") == 6
    assert world.gauge(metrics.POOL_CONNECTIONS, "read", "in_use") == 1
    assert world.gauge(metrics.POOL_CONNECTIONS, "read", "idle") == 1
    assert world.gauge(metrics.POOL_MAX, "read") == 2
    assert world.gauge(metrics.POOL_WAITERS, "read") == 0
    assert world.gauge(metrics.POOL_SATURATED, "read") == 0
    permit.release()
    world.ready = False
    world.watcher.publish(0.2)
    assert world.gauge(metrics.WORKER_READY) == 0
    assert world.gauge(metrics.INFLIGHT, "read") == 0
    assert world.gauge(metrics.POOL_CONNECTIONS, "read", "in_use") == 0


def test_the_time_without_an_idle_connection_adds_up() -> None:
    world = World(pool_size=1)
    with world.backend.stream():
        world.watcher.publish(0.25)
        world.watcher.publish(0.5)
    world.watcher.publish(5.0)
    assert world.gauge(metrics.POOL_SATURATED, "read") == 0.75
    assert world.gauge(metrics.POOL_SATURATED, "write") == 0


@pytest.mark.parametrize(("single_writer", "admission", "writer"), [(False, 7, 0), (True, 4, 3)])
def test_each_waiter_is_in_one_queue(
    monkeypatch: pytest.MonkeyPatch, *, single_writer: bool, admission: int, writer: int
) -> None:
    world = World(single_writer=single_writer)
    signals = {Lane.READ: PoolSignals(2, 3, 5, 4, 2), Lane.WRITE: PoolSignals(1, 1, 1, 3, 128)}
    monkeypatch.setattr(world.backend, "signals", signals.get)
    world.watcher.publish(0.2)
    assert world.gauge(metrics.QUEUE_DEPTH, "admission") == admission
    assert world.gauge(metrics.QUEUE_DEPTH, "writer") == writer
    assert world.looks == [world.clock.now_s()]
    assert world.gauge(metrics.POOL_WAITERS, "read") == 4
    assert world.gauge(metrics.POOL_CONNECTIONS, "read", "in_use") == 2
    assert world.gauge(metrics.POOL_CONNECTIONS, "read", "idle") == 0


def test_without_a_database_only_the_lanes_are_told() -> None:
    breaker = Breaker()
    with World(backend=False, breakers={Lane.READ: breaker}) as world:
        assert world.gauge(metrics.LIMIT, "read") == 6
        assert world.gauge(metrics.POOL_MAX, "read") == 0
        assert world.gauge(metrics.WORKER_READY) == 1
    assert breaker.asked == 0


def test_it_publishes_at_once_and_a_stopped_worker_is_not_ready() -> None:
    recorder = Beating()
    with World(recorder=recorder) as world:
        assert world.gauge(metrics.WORKER_READY) == 1
        assert recorder.beats[0] == world.clock.now_s()
    assert world.gauge(metrics.WORKER_READY) == 0
    world.watcher.stop()


def test_a_watcher_that_never_started_can_be_stopped() -> None:
    World().watcher.stop()


def test_a_broken_gauge_does_not_end_the_watch(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Beating()
    with World(recorder=recorder):
        recorder.failing = True
        assert recorder.failed.wait(20)
        recorder.failing = False
        assert recorder.beaten_after.wait(20)
    assert "the gauges could not be published" in caplog.text


def test_a_broken_breaker_does_not_end_its_probes(caplog: pytest.LogCaptureFixture) -> None:
    breaker = Breaker()
    with World(breakers={Lane.WRITE: breaker}):
        assert breaker.again.wait(20)
    assert "the write lane's probe could not be run" in caplog.text


@pytest.mark.parametrize("lane", Lane)
def test_it_probes_an_open_breaker_until_the_database_is_back(lane: Lane) -> None:
    clock, changed = FakeClock(), threading.Event()
    breaker = LaneBreaker(
        lane, BreakerRules(min_calls=1, open_max_s=1.0), clock, lambda: 0.0, MemoryRecorder()
    )
    breaker.record(Outcome.FAILURE, breaker.generation)
    clock.advance(1.0)
    world = World(breakers={lane: breaker})
    probe = world.backend.probe

    def watched(asked: Lane, timeout_s: float) -> None:
        assert (asked, timeout_s) == (lane, 0.5)
        changed.set()
        probe(asked, timeout_s)

    world.backend.probe = watched
    world.backend.failure = BackendFailed("away")
    with world:
        assert changed.wait(20)
        world.backend.failure = None
        while breaker.phase is not BreakerPhase.CLOSED:
            clock.advance(1.0)
            changed.clear()
            changed.wait(0.2)
    assert breaker.admits()


class SeenBook:
    """A book that says when it is looked at."""

    def __init__(self) -> None:
        self.seen = threading.Event()

    def appoint(self, _lane: Lane, _not_before_s: float, *, outage: bool) -> int:
        """Return any seconds: nobody is refused here."""
        return 1 if outage else 2

    def look(self, _bounds_per_s: Mapping[Lane, float]) -> None:
        self.seen.set()


def test_the_watcher_keeps_the_appointment_book_up() -> None:
    world = World()
    world.controller.book = book = SeenBook()
    with world:
        assert book.seen.wait(20.0)
