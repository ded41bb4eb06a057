from __future__ import annotations

from guard import metrics
from guard.controller import Controller
from guard.core.admission import Limits
from guard.core.vocabulary import Lane, Outcome, Policy, Reason
from guard.meter import PoolMeter
from guard.rules import Rules
from guard.testing import FakeClock, MemoryBackend, MemoryRecorder

LIMITS = Limits(Policy.PREDICTIVE, permits_max=6, waiters_max=4, wait_budget_s=0.1)


def tell_everything(meter: PoolMeter) -> None:
    meter.acquired(Lane.READ, 0.02, got=True)
    meter.acquired(Lane.READ, 0.4, got=False)
    meter.released(Lane.WRITE, 0.3, Outcome.OK)
    meter.queried(Lane.READ, 0.01, Outcome.FAILURE)
    meter.failed(Lane.WRITE, "timeout")
    meter.batched(17)
    meter.lock_waited(Lane.WRITE, 0.05)
    meter.locks_sampled(Lane.WRITE, 3, 1.5, 0.6)


def test_everything_is_recorded_also_before_there_is_a_controller() -> None:
    recorder = MemoryRecorder()
    tell_everything(PoolMeter(recorder))
    assert recorder.value(metrics.ACQUIRE_WAIT, ("read", "ok")) == 0.02
    assert recorder.value(metrics.ACQUIRE_WAIT, ("read", "timeout")) == 0.4
    assert recorder.value(metrics.POOL_USE, ("write", "ok")) == 0.3
    assert recorder.value(metrics.QUERY_DURATION, ("read", "failure")) == 0.01
    assert recorder.value(metrics.DB_ERRORS, ("write", "timeout")) == 1
    assert (recorder.value(metrics.BATCH_SIZE), recorder.count(metrics.BATCH_SIZE)) == (17, 1)
    assert recorder.value(metrics.LOCK_WAIT, ("write",)) == 0.05
    assert recorder.value(metrics.LOCK_WAITERS, ("write",)) == 3
    assert recorder.value(metrics.LOCK_WAIT_OLDEST, ("write",)) == 1.5
    assert recorder.value(metrics.LOCK_WAITED_TOTAL, ("write",)) == 0.6


def test_only_known_label_sets_are_used() -> None:
    recorder = MemoryRecorder()
    before = len(list(recorder.collect()))
    tell_everything(PoolMeter(recorder))
    for kind in metrics.ERROR_KINDS:
        PoolMeter(recorder).failed(Lane.READ, kind)
    assert len(list(recorder.collect())) == before


def test_the_controller_learns_from_waits_and_holds() -> None:
    clock = FakeClock()
    meter = PoolMeter(MemoryRecorder())
    control = Controller(
        Rules(lanes=dict.fromkeys(Lane, LIMITS)), {lane: lambda: 2 for lane in Lane}, clock=clock
    )
    meter.controller = control
    guess_s = control.load(Lane.READ).hold_s
    for _ in range(50):
        meter.released(Lane.READ, 2.0, Outcome.OK)
    assert guess_s < control.load(Lane.READ).hold_s <= 2.0
    assert control.load(Lane.WRITE).hold_s == guess_s


def test_a_backend_tells_it_what_it_did() -> None:
    recorder = MemoryRecorder()
    backend = MemoryBackend(1, observer=PoolMeter(recorder), clock=FakeClock())
    backend.read(lambda session: session.execute("SELECT 1"))
    assert recorder.count(metrics.ACQUIRE_WAIT, ("read", "ok")) == 1
    assert recorder.count(metrics.QUERY_DURATION, ("read", "ok")) == 1
    assert recorder.count(metrics.POOL_USE, ("read", "ok")) == 1


def test_a_standing_queue_is_seen_by_the_controller() -> None:
    clock = FakeClock()
    meter = PoolMeter(MemoryRecorder())
    control = Controller(
        Rules(lanes=dict.fromkeys(Lane, LIMITS)), {lane: lambda: 2 for lane in Lane}, clock=clock
    )
    meter.controller = control
    for _ in range(10):
        meter.acquired(Lane.READ, 1.0, got=True)
        clock.advance(0.05)
    old = control.scope(Lane.READ, age_s=1.0)
    assert control.check(old, Lane.READ).reason is Reason.QUEUE_DELAY
    assert control.check(control.scope(Lane.WRITE, age_s=1.0), Lane.WRITE).admitted


class _Breaker:
    """A gate that keeps what it heard."""

    generation = 7

    def __init__(self) -> None:
        self.heard: list[tuple[Outcome, int]] = []

    def admits(self) -> bool:
        return True

    def remaining_s(self) -> float:
        return 0.0

    def record(self, outcome: Outcome, generation: int) -> None:
        self.heard.append((outcome, generation))


def test_a_lane_without_a_connection_tells_its_own_breaker() -> None:
    breakers = {lane: _Breaker() for lane in Lane}
    serving = Reason.STARTING
    meter = PoolMeter(MemoryRecorder())
    meter.disconnected(Lane.READ)
    meter.controller = Controller(
        Rules(lanes=dict.fromkeys(Lane, LIMITS)), {lane: lambda: 0 for lane in Lane}, breakers,
        serving=lambda: serving,
    )  # fmt: skip
    meter.disconnected(Lane.READ)
    assert not breakers[Lane.READ].heard, "a database that was never open has a reason of its own"
    serving = Reason.OK
    meter.disconnected(Lane.READ)
    assert breakers[Lane.READ].heard == [(Outcome.FAILURE, 7)]
    assert not breakers[Lane.WRITE].heard
    meter.controller = Controller(
        Rules(lanes=dict.fromkeys(Lane, LIMITS)), {lane: lambda: 0 for lane in Lane}
    )
    meter.disconnected(Lane.READ)
