"""The adaptive limit in a worker: the backend is limited, the gauges tell it."""

from guard import metrics
from guard.controller import Controller
from guard.core.admission import Limits
from guard.core.vocabulary import Lane, Policy
from guard.rules import Rules
from guard.testing import FakeClock, MemoryBackend, MemoryRecorder
from guard.watcher import Watcher
from guard.watches.adaptive import AdaptiveWatch

SLOTS = 16


class World:
    """A pool of 16, of which 4 serve the most."""

    def __init__(self, searched=tuple(Lane)):
        self.backend = MemoryBackend(SLOTS, SLOTS)
        self.backend.open()
        self.clock = FakeClock()
        limits = Limits(Policy.PREDICTIVE, 2 * SLOTS, SLOTS, 0.2)
        slots = {lane: lambda lane=lane: self.backend.signals(lane).slots for lane in Lane}
        self.control = Controller(Rules(lanes=dict.fromkeys(Lane, limits)), slots, clock=self.clock)
        self.recorder = MemoryRecorder()
        self.on = True
        self.watch = AdaptiveWatch(
            self.control, self.backend, self.recorder, on=lambda: self.on, searched=searched
        )

    def run(self, looks, lane=Lane.READ):
        for _ in range(looks):
            used = self.slots(lane)
            per_s = 1000.0 * min(used, 4) / (1 + 0.3 * max(0, used - 4))
            for _ in range(round(per_s * 0.2)):
                self.control.held(lane, used / per_s)
            self.clock.advance(0.2)
            self.watch(self.clock.now_s())

    def slots(self, lane=Lane.READ):
        return self.backend.signals(lane).slots


def test_the_lane_that_gains_by_it_uses_fewer_and_the_other_all():
    world = World()
    world.run(300)
    assert world.slots() <= 8
    assert world.slots(Lane.WRITE) == SLOTS
    assert world.recorder.value(metrics.ADAPTIVE_SLOTS, ("read",)) == world.slots()
    assert world.recorder.value(metrics.ADAPTIVE_SLOTS, ("write",)) == SLOTS
    Watcher(
        world.control, world.backend, world.recorder, {}, ready=lambda: True, probe_timeout_s=1.0
    ).publish(0.0)
    assert world.recorder.value(metrics.LIMIT, ("read",)) == SLOTS + world.slots()
    assert world.recorder.value(metrics.LIMIT, ("write",)) == 2 * SLOTS


def test_switched_off_it_gives_the_pool_back_at_once():
    world = World()
    world.run(300)
    world.on = False
    world.watch(world.clock.now_s())
    assert world.slots() == SLOTS
    world.run(300)
    assert world.slots() == SLOTS


def test_a_lane_for_which_there_is_nothing_to_find_is_left_alone():
    world = World(searched=[Lane.READ])
    world.run(300, Lane.WRITE)
    assert world.slots(Lane.WRITE) == SLOTS


def test_admission_judges_by_what_is_lent():
    world = World()
    world.backend.limit(Lane.READ, 1)
    for _ in range(SLOTS):
        world.control.held(Lane.READ, 1.0)
    assert world.control.admit(world.control.scope(Lane.READ), Lane.READ)[0].admitted
    assert not world.control.admit(world.control.scope(Lane.READ), Lane.READ)[0].admitted
