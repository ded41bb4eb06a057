from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from guard.core import breaker as core
from guard.core.breaker_types import BreakerRules, BreakerState, Tally
from guard.core.vocabulary import BreakerPhase

if TYPE_CHECKING:
    from collections.abc import Callable

    Event = Callable[[BreakerState], BreakerState]


RULES = BreakerRules(
    min_calls=4, slow_s=2.0, slow_ratio=0.5, open_s=1.0, open_max_s=8.0, ramp_s=4.0,
    probe_limit_s=20.0,
)  # fmt: skip
MODES = ("auto", "open", "closed", "metrics")
FORCED = ("open", "closed", "metrics")
NOW_S = 100.0
SICK, FINE = Tally(ok=2, failures=2), Tally(ok=3, failures=1)

CLOSED = BreakerState(generation=7, since_s=50.0)
OPEN = BreakerState(BreakerPhase.OPEN, 7, 99.0, until_s=NOW_S, failed_probes=1, outage=5)
HALF_OPEN = BreakerState(BreakerPhase.HALF_OPEN, 7, 99.0, NOW_S + 20, failed_probes=2, outage=3)
OVERDUE = HALF_OPEN._replace(until_s=NOW_S)
RECOVERING = BreakerState(BreakerPhase.RECOVERING, 7, 98.0, failed_probes=2, outage=3)
HELD = RECOVERING._replace(since_s=NOW_S - 4.0)


def opened(failed: int, until_s: float, outage: int, *, taken_over: bool = False) -> BreakerState:
    return BreakerState(BreakerPhase.OPEN, 8, NOW_S, until_s, failed, outage, taken_over)


def closed() -> BreakerState:
    return BreakerState(BreakerPhase.CLOSED, 8, NOW_S)


def judge(tally: Tally = SICK, generation: int = 7, **rules: object) -> Event:
    return lambda state: core.judge(
        state, RULES._replace(**rules), (FINE, tally), generation, NOW_S, 0.0
    )


def begin(state: BreakerState) -> BreakerState:
    return core.begin_probe(state, RULES, NOW_S)


def adopt(state: BreakerState) -> BreakerState:
    return core.begin_probe(state, RULES, NOW_S, orphaned=True)


def end(*, ok: bool, generation: int = 7, **rules: object) -> Event:
    return lambda state: core.end_probe(
        state, RULES._replace(**rules), ok=ok, generation=generation, now_s=NOW_S, draw=0.0
    )


def expire(state: BreakerState) -> BreakerState:
    return core.expire_probe(state, RULES, NOW_S, 0.0)


def end_ramp(state: BreakerState) -> BreakerState:
    return core.end_ramp(state, RULES, NOW_S)


def take_over(state: BreakerState) -> BreakerState:
    return core.take_over(state, RULES, NOW_S, 0.0)


def condemn(generation: int = 7) -> Event:
    return lambda state: core.condemn(state, RULES, generation, NOW_S, 0.0)


def hasten(state: BreakerState) -> BreakerState:
    return core.hasten(state, RULES, NOW_S)


def move(phase: BreakerPhase) -> Event:
    return lambda state: core.move(state, RULES, phase, NOW_S, 0.0)


PROBING = BreakerState(BreakerPhase.HALF_OPEN, 8, NOW_S, NOW_S + 20)

CHANGES = [
    ("closed, limits reached", CLOSED, judge(), opened(0, NOW_S + 1, 8)),
    ("closed, slow ones reach the limit", CLOSED, judge(Tally(ok=9, quick=2, slow=2)),
     opened(0, NOW_S + 1, 8)),
    ("closed, a single slow one reaches a limit below a second", CLOSED,
     judge(Tally(ok=9, slow=1), slow_s=0.5, min_calls=1), opened(0, NOW_S + 1, 8)),
    ("closed, another host is open", CLOSED, take_over, opened(0, NOW_S + 1, 8, taken_over=True)),
    ("closed, no connection left", CLOSED, condemn(), opened(0, NOW_S + 1, 8)),
    ("recovering, no connection left", RECOVERING, condemn(), opened(3, NOW_S + 8, 3)),
    ("open, pause over", OPEN, begin, PROBING._replace(failed_probes=1, outage=5)),
    ("open, another host is answered", OPEN._replace(until_s=NOW_S + 3), hasten, OPEN),
    ("half-open, ok", HALF_OPEN, end(ok=True),
     BreakerState(BreakerPhase.RECOVERING, 8, NOW_S, 0.0, 2, 3)),
    ("half-open, ok, no ramp", HALF_OPEN, end(ok=True, ramp_s=0.0), closed()),
    ("half-open, ok, a short ramp", HALF_OPEN, end(ok=True, ramp_s=0.5),
     BreakerState(BreakerPhase.RECOVERING, 8, NOW_S, 0.0, 2, 3)),
    ("half-open, failed", HALF_OPEN, end(ok=False), opened(3, NOW_S + 8, 3)),
    ("half-open, given up", OVERDUE, expire, opened(3, NOW_S + 8, 3)),
    ("half-open, the prober is dead", HALF_OPEN, adopt,
     PROBING._replace(failed_probes=2, outage=3)),
    ("recovering, the first outcome fails", RECOVERING, judge(Tally(failures=1)),
     opened(3, NOW_S + 8, 3)),
    ("recovering, the ramp has held", HELD, end_ramp, closed()),
    *[(f"{state.phase} to open by hand", state, move(BreakerPhase.OPEN), after)
      for state, after in ((CLOSED, opened(0, NOW_S + 1, 8)), (OVERDUE, opened(3, NOW_S + 8, 3)))],
    *[(f"{state.phase} to closed by hand", state, move(BreakerPhase.CLOSED), closed())
      for state in (OPEN, HALF_OPEN, RECOVERING)],
    ("closed to half-open by hand", CLOSED, move(BreakerPhase.HALF_OPEN), PROBING),
    ("open to recovering by hand", OPEN, move(BreakerPhase.RECOVERING),
     BreakerState(BreakerPhase.RECOVERING, 8, NOW_S, 0.0, 1, 5)),
]  # fmt: skip

NOTHINGS = [
    ("closed, limits not reached", CLOSED, judge(FINE)),
    ("closed, too few outcomes", CLOSED, judge(Tally(failures=3))),
    ("closed, too few slow ones", CLOSED, judge(Tally(ok=9, quick=3, slow=1))),
    ("closed, too few uses", CLOSED, judge(Tally(ok=9, slow=3))),
    ("closed, durations are not looked at", CLOSED, judge(Tally(ok=9, slow=9), slow_s=0.0)),
    ("closed, an older generation", CLOSED, judge(generation=6)),
    ("closed, a later generation", CLOSED, judge(generation=8)),
    ("closed, begin_probe", CLOSED, begin),
    ("closed, adopt", CLOSED, adopt),
    ("closed, end_probe ok", CLOSED, end(ok=True)),
    ("closed, end_probe failed", CLOSED, end(ok=False)),
    ("closed, expire", CLOSED, expire),
    ("closed, end_ramp", CLOSED, end_ramp),
    ("closed, hasten", CLOSED, hasten),
    ("open, condemn", OPEN, condemn()),
    ("half-open, condemn", HALF_OPEN, condemn()),
    ("closed, condemned in an older generation", CLOSED, condemn(6)),
    ("open, judge", OPEN, judge()),
    ("open, pause not over", OPEN._replace(until_s=NOW_S + 0.001), begin),
    ("open, adopt before the pause is over", OPEN._replace(until_s=NOW_S + 0.001), adopt),
    ("open, end_probe ok", OPEN, end(ok=True)),
    ("open, end_probe failed", OPEN, end(ok=False)),
    ("open, expire", OPEN, expire),
    ("open, another host is open", OPEN, take_over),
    ("open, hasten what is due", OPEN, hasten),
    ("half-open, judge", HALF_OPEN, judge()),
    ("half-open, a second probe", HALF_OPEN, begin),
    ("half-open, a probe of an older generation", HALF_OPEN, end(ok=True, generation=6)),
    ("half-open, a failed one of it", HALF_OPEN, end(ok=False, generation=6)),
    ("half-open, expire too early", HALF_OPEN, expire),
    ("half-open, another host is open", HALF_OPEN, take_over),
    ("recovering, mostly ok", RECOVERING, judge(FINE)),
    ("recovering, an older generation", RECOVERING, judge(generation=6)),
    ("recovering, end_ramp too early", RECOVERING, end_ramp),
    ("recovering, begin_probe", RECOVERING, begin),
    ("recovering, another host is open", RECOVERING, take_over),
    *[(f"{state.phase} to itself by hand", state, move(state.phase))
      for state in (CLOSED, OPEN, HALF_OPEN, RECOVERING)],
]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "event", "after"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES]
)
def test_every_transition_of_the_table(
    before: BreakerState, event: Event, after: BreakerState
) -> None:
    assert event(before) == after


@pytest.mark.parametrize(
    ("before", "event"), [row[1:] for row in NOTHINGS], ids=[row[0] for row in NOTHINGS]
)
def test_every_other_event_changes_nothing(before: BreakerState, event: Event) -> None:
    assert event(before) is before


@pytest.mark.parametrize("mode", FORCED)
def test_a_forced_mode_changes_nothing_and_shows_what_it_forces(mode: str) -> None:
    rules = RULES._replace(mode=mode)
    shown = BreakerPhase.OPEN if mode == "open" else BreakerPhase.CLOSED
    for state in (CLOSED, OPEN, HALF_OPEN, RECOVERING):
        assert core.shown_phase(state, rules) is shown
        assert core.share(state, rules, NOW_S) == (0.0 if mode == "open" else 1.0)
        assert core.remaining_s(state._replace(until_s=NOW_S + 9), rules, NOW_S) == 0.0
        assert core.judge(state, rules, (SICK, SICK), 7, NOW_S, 0.0) is state
        assert core.begin_probe(state, rules, NOW_S, orphaned=True) is state
        assert core.take_over(state, rules, NOW_S, 0.0) is state
        assert core.condemn(state, rules, 7, NOW_S, 0.0) is state
        assert core.move(state, rules, BreakerPhase.OPEN, NOW_S, 0.0) is state
        assert core.move(state, rules, BreakerPhase.CLOSED, NOW_S, 0.0) is state
        counted = mode == "metrics" and state in {CLOSED, RECOVERING}
        assert core.counts(state, rules, 7) is counted


@pytest.mark.parametrize(
    ("state", "share"), [(CLOSED, 1.0), (OPEN, 0.0), (HALF_OPEN, 0.0)], ids=str
)
def test_who_is_admitted(state: BreakerState, share: float) -> None:
    assert core.share(state, RULES, NOW_S) == share


@pytest.mark.parametrize(
    ("passed_s", "share"),
    [(-1, 0.1), (0, 0.1), (0.999, 0.1), (1, 0.25), (2, 0.5), (2.999, 0.5), (3, 1.0), (99, 1.0)],
)
def test_the_ramp_has_four_steps(passed_s: float, share: float) -> None:
    assert core.share(RECOVERING._replace(since_s=NOW_S), RULES, NOW_S + passed_s) == share


def test_a_ramp_may_be_short() -> None:
    rules = RULES._replace(ramp_s=0.4)
    found = [core.share(RECOVERING, rules, RECOVERING.since_s + at) for at in (0.05, 0.15, 0.25)]
    assert found == [0.1, 0.25, 0.5]


def test_without_a_ramp_all_are_admitted() -> None:
    assert core.share(RECOVERING, RULES._replace(ramp_s=0.0), NOW_S) == 1.0


@pytest.mark.parametrize(
    ("state", "counted"), [(CLOSED, True), (OPEN, False), (HALF_OPEN, False), (RECOVERING, True)]
)
def test_only_what_began_in_the_phase_counts(state: BreakerState, *, counted: bool) -> None:
    assert core.counts(state, RULES, 7) is counted
    assert not core.counts(state, RULES, 6)
    assert not core.counts(state, RULES, 8)
    assert core.counts_since(state, RULES, state.since_s) is counted
    assert not core.counts_since(state, RULES, state.since_s - 0.001)


def test_the_remaining_time_is_the_pause_of_an_open_breaker_only() -> None:
    assert core.remaining_s(OPEN, RULES, NOW_S - 0.75) == 0.75
    assert core.remaining_s(OPEN, RULES, NOW_S + 5) == 0.0
    for state in (CLOSED, HALF_OPEN, RECOVERING):
        assert core.remaining_s(state, RULES, NOW_S) == 0.0


def test_the_pause_doubles_with_each_failed_probe_up_to_the_cap() -> None:
    state, pauses = HALF_OPEN._replace(failed_probes=0), []
    for _ in range(5):
        state = core.end_probe(
            state, RULES, ok=False, generation=state.generation, now_s=NOW_S, draw=0.0
        )
        pauses.append(core.remaining_s(state, RULES, NOW_S))
        state = core.begin_probe(state._replace(until_s=NOW_S), RULES, NOW_S)
    assert pauses == [2.0, 4.0, 8.0, 8.0, 8.0]


@settings(deadline=None)
@given(failed=st.integers(0, 10**6), draw=st.floats(0, 1, exclude_max=True))
def test_the_pause_is_spread_over_the_upper_half_and_never_past_the_cap(
    failed: int, draw: float
) -> None:
    before = OVERDUE._replace(failed_probes=failed)
    after = core.expire_probe(before, RULES, NOW_S, draw)
    base_s = min(8.0, 2.0 ** min(failed + 1, 10))
    assert base_s / 2 <= core.remaining_s(after, RULES, NOW_S) <= base_s


@pytest.mark.parametrize(("draw", "pause_s"), [(0.0, 8.0), (0.5, 6.0), (0.875, 4.5)])
def test_the_pause_is_drawn_evenly(draw: float, pause_s: float) -> None:
    assert core.remaining_s(core.expire_probe(OVERDUE, RULES, NOW_S, draw), RULES, NOW_S) == pause_s


@settings(deadline=None)
@given(
    tally=st.builds(Tally, *[st.integers(0, 12)] * 4),
    state=st.sampled_from([CLOSED, RECOVERING]),
    ratio=st.sampled_from([0.25, 0.5, 1.0]),
)
def test_a_limit_is_reached_by_enough_bad_news_only(
    tally: Tally, state: BreakerState, ratio: float
) -> None:
    rules = RULES._replace(failure_ratio=ratio, slow_ratio=ratio)
    enough = 1 if state is RECOVERING else 4
    calls, uses = tally.ok + tally.failures, tally.quick + tally.slow
    sick = calls >= enough and tally.failures > 0 and tally.failures / calls >= ratio
    slow = uses >= 4 and tally.slow > 0 and tally.slow / uses >= ratio
    assert core.tripped(state, rules, tally) is (sick or slow)


STARTS = st.one_of(
    st.just(CLOSED),
    # Next to half-open, which a random history hardly ever reaches.
    st.builds(lambda late_s: OPEN._replace(until_s=NOW_S + late_s), st.sampled_from([-1.0, 0.5])),
    st.builds(lambda failed: HALF_OPEN._replace(failed_probes=failed), st.integers(0, 4)),
    st.builds(lambda since_s: RECOVERING._replace(since_s=since_s), st.sampled_from([96.5, 99.0])),
)
DRAWS = st.sampled_from([0.0, 0.5, 0.999])


class Breaker(RuleBasedStateMachine):
    """Random events from a start next to the states in question; each checks its own outcome."""

    @initialize(state=STARTS)
    def start(self, state: BreakerState) -> None:
        self.now_s = NOW_S
        self.state = state

    def become(self, after: BreakerState, *allowed: BreakerPhase) -> None:
        before, self.state = self.state, after
        if after is before:
            return
        assert after.phase in allowed
        assert after.generation == before.generation + 1
        assert after.since_s == self.now_s
        assert (after.outage == 0) is (after.phase is BreakerPhase.CLOSED)
        assert after.outage in {before.outage, after.generation, 0}

    @rule(seconds=st.sampled_from([0.0, 0.001, 0.5, 1.0, 3.0, 25.0]))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(
        tally=st.sampled_from([SICK, FINE, Tally(failures=1), Tally(failures=9)]),
        late=st.integers(0, 3).map(lambda n: n == 3),
        draw=DRAWS,
    )
    def fail(self, tally: Tally, *, late: bool, draw: float) -> None:
        before = self.state
        generation = before.generation - late
        after = core.judge(before, RULES, (tally, Tally()), generation, self.now_s, draw)
        counted = before.phase in {BreakerPhase.CLOSED, BreakerPhase.RECOVERING} and not late
        assert (after is not before) is (counted and core.tripped(before, RULES, tally))
        self.become(after, BreakerPhase.OPEN)

    @rule(orphaned=st.booleans())
    def begin(self, *, orphaned: bool) -> None:
        before = self.state
        due = before.phase is BreakerPhase.OPEN and self.now_s >= before.until_s
        assert core.probe_due(before, RULES, self.now_s) is due
        after = core.begin_probe(before, RULES, self.now_s, orphaned=orphaned)
        dead = orphaned and before.phase is BreakerPhase.HALF_OPEN
        assert (after is not before) is (due or dead)
        self.become(after, BreakerPhase.HALF_OPEN)

    @precondition(lambda self: self.state.phase is BreakerPhase.HALF_OPEN)
    @rule(ok=st.booleans(), late=st.booleans(), draw=DRAWS)
    def end(self, *, ok: bool, late: bool, draw: float) -> None:
        before = self.state
        after = core.end_probe(
            before, RULES, ok=ok, generation=before.generation - late, now_s=self.now_s, draw=draw
        )
        assert (after is before) is late
        if after is not before:
            # The back-off is forgotten by a ramp that has held, not by one good probe.
            assert after.failed_probes == before.failed_probes + (not ok)
        self.become(after, BreakerPhase.RECOVERING if ok else BreakerPhase.OPEN)

    @rule(draw=DRAWS)
    def expire(self, draw: float) -> None:
        before = self.state
        after = core.expire_probe(before, RULES, self.now_s, draw)
        gone = before.phase is BreakerPhase.HALF_OPEN and self.now_s >= before.until_s
        assert (after is not before) is gone
        self.become(after, BreakerPhase.OPEN)

    @rule()
    def end_ramp(self) -> None:
        before = self.state
        after = core.end_ramp(before, RULES, self.now_s)
        over = before.phase is BreakerPhase.RECOVERING and self.now_s >= before.since_s + 4.0
        assert (after is not before) is over
        self.become(after, BreakerPhase.CLOSED)

    @rule(draw=DRAWS)
    def take_over(self, draw: float) -> None:
        before = self.state
        after = core.take_over(before, RULES, self.now_s, draw)
        assert (after is not before) is (before.phase is BreakerPhase.CLOSED)
        self.become(after, BreakerPhase.OPEN)

    @rule(phase=st.sampled_from(BreakerPhase), draw=DRAWS)
    def move(self, phase: BreakerPhase, draw: float) -> None:
        if self.state.phase is BreakerPhase.CLOSED and phase is not BreakerPhase.OPEN:
            return  # by hand only: there is no outage to speak of
        self.become(core.move(self.state, RULES, phase, self.now_s, draw), phase)

    @invariant()
    def requests_are_admitted_while_closed_and_a_share_while_recovering(self) -> None:
        share = core.share(self.state, RULES, self.now_s)
        if self.state.phase is BreakerPhase.RECOVERING:
            assert share in core.RAMP
        else:
            assert share == float(self.state.phase is BreakerPhase.CLOSED)

    @invariant()
    def a_pause_is_bounded(self) -> None:
        assert 0.0 <= core.remaining_s(self.state, RULES, self.now_s) <= RULES.open_max_s

    @invariant()
    def only_an_outage_is_remembered(self) -> None:
        if self.state.phase is BreakerPhase.CLOSED:
            assert (self.state.failed_probes, self.state.taken_over) == (0, False)


Breaker.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestBreaker = Breaker.TestCase
