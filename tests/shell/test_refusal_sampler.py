"""The sample of refusals that is kept with the numbers that decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from guard.controller import Controller
from guard.core.admission import Limits
from guard.core.vocabulary import Lane, Mode, Policy, Reason
from guard.middleware import Guard
from guard.refusals import RefusalSampler
from guard.rules import Rules
from guard.testing import FakeClock, MemoryRecorder

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from guard.board import Refusal

LIMITS = Limits(Policy.PREDICTIVE, permits_max=6, waiters_max=2, wait_budget_s=0.1)


class Kept(list["Refusal"]):
    """A sink that is a list."""


class World:
    def __init__(self, mode: Mode = Mode.ENFORCE) -> None:
        self.clock, self.kept = FakeClock(), Kept()
        self.controller = Controller(
            Rules(lanes=dict.fromkeys(Lane, LIMITS), mode=mode),
            {lane: lambda: 2 for lane in Lane},
            clock=self.clock,
        )
        self.sampler = RefusalSampler(self.controller, self.kept, self.clock, period_s=1.0)

    def fill(self, count: int, lane: Lane = Lane.READ) -> None:
        for _ in range(count):
            self.controller.admit(self.controller.scope(lane), lane)


def test_the_numbers_are_those_that_decided() -> None:
    world = World()
    world.fill(4)
    decision = world.controller.check(world.controller.scope(Lane.READ, 0.03), Lane.READ)
    assert decision.reason is Reason.POOL_SATURATED
    world.sampler.note(Lane.READ, decision.reason)
    (kept,) = world.kept
    assert (kept.lane, kept.reason) == (Lane.READ, Reason.POOL_SATURATED)
    assert (kept.in_flight, kept.unfinished, kept.slots) == (4, 4, 2)
    assert (kept.permits_max, kept.waiters_max, kept.budget_s) == (6, 2, 0.1)
    assert kept.age_s == pytest.approx(0.03)
    assert kept.wait_s == decision.wait_s > 0.0
    assert kept.hold_s > 0.0


def test_a_flood_is_sampled_and_none_is_lost_in_the_count() -> None:
    world = World()
    for _ in range(25):
        world.clock.advance(0.1)
        world.sampler.note(Lane.READ, Reason.DEADLINE)
    world.sampler.note(Lane.WRITE, Reason.DEADLINE)
    world.sampler.note(Lane.READ, Reason.DRAINING)
    read = [one for one in world.kept if one[2:4] == (Lane.READ, Reason.DEADLINE)]
    assert read[0].stands_for == 1
    assert len(read) == 3
    assert len(world.kept) == 5
    world.clock.advance(1.0)
    world.sampler.note(Lane.READ, Reason.DEADLINE)
    assert (
        sum(one.stands_for for one in world.kept if one[2:4] == (Lane.READ, Reason.DEADLINE)) == 26
    )


def test_one_that_was_refused_after_its_admission_has_the_load_of_now() -> None:
    world = World()
    world.fill(3)
    world.sampler.note(Lane.READ, Reason.POOL_SATURATED)
    (kept,) = world.kept
    assert (kept.in_flight, kept.unfinished, kept.slots) == (3, 3, 0)


@pytest.mark.parametrize(
    ("reason", "later_s"), [(Reason.DEADLINE, 0.0), (Reason.POOL_SATURATED, 5.0)]
)
def test_another_reasons_or_an_old_refusals_numbers_are_not_taken(
    reason: Reason, later_s: float
) -> None:
    world = World()
    world.fill(5)
    world.clock.advance(later_s)
    world.sampler.note(Lane.READ, reason)
    assert world.kept[0].slots == 0


@pytest.mark.parametrize(("mode", "kept"), [(Mode.ENFORCE, True), (Mode.OFF, False)])
def test_both_gates_tell_their_refusals(mode: Mode, kept: bool) -> None:  # noqa: FBT001 - a table
    world = World(mode)
    world.fill(5)
    assert (world.controller.last_refused(Lane.READ) is not None) is kept
    assert world.controller.last_refused(Lane.WRITE) is None


def test_the_middleware_tells_each_of_its_refusals() -> None:
    world = World()
    world.fill(4)

    def app(_environ: dict[str, Any], _start: Callable[..., Any]) -> list[bytes]:
        raise AssertionError("it is refused before")

    guard = Guard(
        app,
        world.controller,
        recorder=MemoryRecorder(),
        hold="connection",
        on_shed=world.sampler.note,
    )
    for _ in range(3):
        body = guard({"REQUEST_METHOD": "GET", "PATH_INFO": "/x"}, lambda *_: None)
        assert b"pool_saturated" in b"".join(body)
    assert [one.stands_for for one in world.kept] == [1]
