from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from guard.core import breaker as core
from guard.core.breaker import BreakerRules, BreakerState, Bucket
from guard.core.vocabulary import BreakerPhase, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    Event = Callable[[BreakerState], BreakerState]


RULES = BreakerRules(min_calls=4, window_s=10.0, open_s=1.0, open_max_s=8.0, probe_limit_s=20.0)
MODES = ("auto", "open", "closed", "metrics")
NOW_S = 100.0

CLOSED = BreakerState(generation=7)
ONE_SHORT = BreakerState(generation=7, window=(Bucket(100, 2, 1),))
MOSTLY_FAILED = BreakerState(generation=7, window=(Bucket(100, 0, 3),))
OPEN = BreakerState(BreakerPhase.OPEN, 7, open_until_s=NOW_S)
HALF_OPEN = BreakerState(BreakerPhase.HALF_OPEN, 7, failed_probes=2, probe_until_s=NOW_S + 20)
OVERDUE = HALF_OPEN._replace(probe_until_s=NOW_S)


def opened(failed_probes: int, until_s: float) -> BreakerState:
    return BreakerState(BreakerPhase.OPEN, 8, (), until_s, failed_probes)


def record(outcome: Outcome, generation: int = 7) -> Event:
    return lambda state: core.record(state, RULES, outcome, generation, NOW_S, 0.0)


def begin(state: BreakerState) -> BreakerState:
    return core.begin_probe(state, RULES, NOW_S)


def end(*, ok: bool, generation: int = 7) -> Event:
    return lambda state: core.end_probe(
        state, RULES, ok=ok, generation=generation, now_s=NOW_S, draw=0.0
    )


def expire(state: BreakerState) -> BreakerState:
    return core.expire_probe(state, RULES, NOW_S, 0.0)


CHANGES = [
    ("closed, limits not reached", CLOSED, record(Outcome.OK),
     CLOSED._replace(window=(Bucket(100, 1, 0),))),
    ("closed, one failure", CLOSED, record(Outcome.FAILURE),
     CLOSED._replace(window=(Bucket(100, 0, 1),))),
    ("closed, limits reached", ONE_SHORT, record(Outcome.FAILURE), opened(0, NOW_S + 1)),
    ("closed, enough calls, too few failures", ONE_SHORT, record(Outcome.OK),
     ONE_SHORT._replace(window=(Bucket(100, 3, 1),))),
    ("closed, an OK never opens", MOSTLY_FAILED, record(Outcome.OK),
     MOSTLY_FAILED._replace(window=(Bucket(100, 1, 3),))),
    ("open, pause over", OPEN, begin,
     OPEN._replace(phase=BreakerPhase.HALF_OPEN, generation=8, probe_until_s=NOW_S + 20)),
    ("half-open, ok", HALF_OPEN, end(ok=True), BreakerState(generation=8)),
    ("half-open, failed", HALF_OPEN, end(ok=False), opened(3, NOW_S + 8)),
    ("half-open, given up", OVERDUE, expire, opened(3, NOW_S + 8)),
]  # fmt: skip

NOTHINGS = [
    ("closed, neutral", ONE_SHORT, record(Outcome.NEUTRAL)),
    ("closed, an older generation", ONE_SHORT, record(Outcome.FAILURE, 6)),
    ("closed, a later generation", ONE_SHORT, record(Outcome.FAILURE, 8)),
    ("closed, begin_probe", CLOSED, begin),
    ("closed, end_probe ok", CLOSED, end(ok=True)),
    ("closed, end_probe failed", CLOSED, end(ok=False)),
    ("closed, expire", CLOSED, expire),
    ("open, OK", OPEN, record(Outcome.OK)),
    ("open, FAILURE", OPEN, record(Outcome.FAILURE)),
    ("open, pause not over", OPEN._replace(open_until_s=NOW_S + 0.001), begin),
    ("open, end_probe ok", OPEN, end(ok=True)),
    ("open, end_probe failed", OPEN, end(ok=False)),
    ("open, expire", OPEN, expire),
    ("half-open, OK", HALF_OPEN, record(Outcome.OK)),
    ("half-open, FAILURE", HALF_OPEN, record(Outcome.FAILURE)),
    ("half-open, a second probe", HALF_OPEN, begin),
    ("half-open, a probe of an older generation", HALF_OPEN, end(ok=True, generation=6)),
    ("half-open, a failed one of it", HALF_OPEN, end(ok=False, generation=6)),
    ("half-open, expire too early", HALF_OPEN, expire),
]


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


@pytest.mark.parametrize(
    ("mode", "phase", "admitted"),
    [
        ("auto", BreakerPhase.CLOSED, True),
        ("auto", BreakerPhase.OPEN, False),
        ("auto", BreakerPhase.HALF_OPEN, False),
        *[("open", phase, False) for phase in BreakerPhase],
        *[("closed", phase, True) for phase in BreakerPhase],
        *[("metrics", phase, True) for phase in BreakerPhase],
    ],
)
def test_who_is_admitted(mode: str, phase: BreakerPhase, *, admitted: bool) -> None:
    assert core.admits(BreakerState(phase), RULES._replace(mode=mode)) is admitted


@pytest.mark.parametrize("mode", MODES)
def test_only_the_forced_open_breaker_starts_open(mode: str) -> None:
    expected = BreakerPhase.OPEN if mode == "open" else BreakerPhase.CLOSED
    assert core.initial(RULES._replace(mode=mode)).phase is expected


@pytest.mark.parametrize("mode", ["open", "closed", "metrics"])
def test_forced_modes_keep_their_phase_and_are_never_probed(mode: str) -> None:
    rules = RULES._replace(mode=mode)
    state = core.initial(rules)
    for _ in range(20):
        state = core.record(state, rules, Outcome.FAILURE, 0, NOW_S, 0.0)
    assert (state.phase, state.generation) == (core.initial(rules).phase, 0)
    assert core.counted(state, rules, NOW_S) == ((0, 20) if mode == "metrics" else (0, 0))
    assert not core.probe_due(OPEN, rules, NOW_S)
    assert core.begin_probe(OPEN, rules, NOW_S) is OPEN
    assert core.remaining_s(core.initial(rules), NOW_S) == 0.0


def test_the_remaining_time_is_the_pause_of_an_open_breaker_only() -> None:
    assert core.remaining_s(OPEN, NOW_S - 0.75) == 0.75
    assert core.remaining_s(OPEN, NOW_S + 5) == 0.0
    assert core.remaining_s(CLOSED, NOW_S) == 0.0
    assert core.remaining_s(HALF_OPEN, NOW_S) == 0.0


def test_the_pause_doubles_with_each_failed_probe_up_to_the_cap() -> None:
    state, pauses = HALF_OPEN._replace(failed_probes=0), []
    for _ in range(5):
        state = core.end_probe(
            state, RULES, ok=False, generation=state.generation, now_s=NOW_S, draw=0.0
        )
        pauses.append(core.remaining_s(state, NOW_S))
        state = core.begin_probe(state._replace(open_until_s=NOW_S), RULES, NOW_S)
    assert pauses == [2.0, 4.0, 8.0, 8.0, 8.0]


@given(failed=st.integers(0, 10**6), draw=st.floats(0, 1, exclude_max=True))
def test_the_pause_is_spread_over_the_upper_half_and_never_past_the_cap(
    failed: int, draw: float
) -> None:
    before = OVERDUE._replace(failed_probes=failed)
    pause_s = core.remaining_s(core.expire_probe(before, RULES, NOW_S, draw), NOW_S)
    base_s = min(8.0, 2.0 ** min(failed + 1, 10))
    assert base_s / 2 <= pause_s <= base_s


@pytest.mark.parametrize(("failures", "opens"), [(1, False), (2, True)])
def test_the_ratio_itself_opens(failures: int, *, opens: bool) -> None:
    state = CLOSED._replace(window=(Bucket(100, 4 - failures, failures - 1),))
    assert (record(Outcome.FAILURE)(state).phase is BreakerPhase.OPEN) is opens


@pytest.mark.parametrize(("later_s", "left"), [(9.0, 4), (9.999, 4), (10.0, 0), (1e6, 0)])
def test_a_bucket_is_forgotten_when_the_tenth_after_it_begins(later_s: float, left: int) -> None:
    state = CLOSED._replace(window=(Bucket(100, 3, 1),))
    assert sum(core.counted(state, RULES, NOW_S + later_s)) == left


def test_the_window_never_grows_past_its_ten_buckets() -> None:
    state = CLOSED
    for tenth in range(50):
        state = core.record(state, RULES, Outcome.OK, 7, NOW_S + tenth, 0.0)
        assert len(state.window) == min(tenth + 1, core.BUCKETS)
    assert core.counted(state, RULES, NOW_S + 49) == (core.BUCKETS, 0)


def test_a_time_read_before_waiting_for_the_lock_counts_in_the_newest_bucket() -> None:
    state = CLOSED._replace(window=(Bucket(101, 1, 0),))
    after = record(Outcome.FAILURE)(state)
    assert after.window == (Bucket(101, 1, 1),)


class Twin:
    """Every counted outcome with its bucket's number; the window is a filter over the list."""

    def __init__(self) -> None:
        self.seen = []

    def number(self, now_s: float) -> int:
        wanted = floor(Fraction(now_s) * 10 / Fraction(RULES.window_s))
        return max([wanted, *[number for number, _ in self.seen]])

    def count(self, now_s: float, *, failed: bool) -> None:
        self.seen.append((self.number(now_s), failed))

    def counted(self, now_s: float) -> tuple[int, int]:
        live = [failed for number, failed in self.seen if number > self.number(now_s) - 10]
        return live.count(False), live.count(True)


class Breaker(RuleBasedStateMachine):
    """Random events against a slow twin; starts next to the states in question."""

    @initialize(
        ok=st.integers(0, 4), failures=st.integers(0, 1), phase=st.sampled_from(BreakerPhase)
    )
    def start(self, ok: int, failures: int, phase: BreakerPhase) -> None:
        self.now_s = NOW_S
        self.twin = Twin()
        self.state = BreakerState(phase, 3)
        if phase is BreakerPhase.OPEN:
            self.state = self.state._replace(open_until_s=NOW_S + 0.5, failed_probes=failures)
        if phase is BreakerPhase.HALF_OPEN:
            self.state = self.state._replace(probe_until_s=NOW_S + 0.5)
        if phase is BreakerPhase.CLOSED:
            for failed in [False] * ok + [True] * failures:
                self.twin.count(NOW_S, failed=failed)
            bucket = Bucket(100, ok, failures)
            self.state = self.state._replace(window=(bucket,) if ok + failures else ())
            if sum(self.twin.counted(NOW_S)) >= 4 and failures * 2 >= ok + failures:
                raise AssertionError("the start is meant to be closed")

    @rule(seconds=st.sampled_from([0.0, 0.001, 0.5, 1.0, 3.0, 8.999, 9.0, 10.0, 25.0]))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(
        outcome=st.sampled_from([Outcome.FAILURE, Outcome.OK, Outcome.NEUTRAL]),
        late=st.integers(0, 3).map(lambda n: n == 3),
        behind_s=st.sampled_from([0.0, 0.0, 1.5]),
        draw=st.sampled_from([0.0, 0.5, 0.999]),
    )
    def use(self, outcome: Outcome, *, late: bool, behind_s: float, draw: float) -> None:
        before, now_s = self.state, self.now_s - behind_s
        generation = before.generation - late
        self.state = core.record(before, RULES, outcome, generation, now_s, draw)
        counts = before.phase is BreakerPhase.CLOSED and not late and outcome is not Outcome.NEUTRAL
        if not counts:
            assert self.state is before
            return
        self.twin.count(now_s, failed=outcome is Outcome.FAILURE)
        ok, failures = self.twin.counted(now_s)
        enough = ok + failures >= 4 and 2 * failures >= ok + failures
        opens = enough and outcome is Outcome.FAILURE
        assert (self.state.phase is BreakerPhase.OPEN) is opens
        if opens:
            self.twin = Twin()
            assert now_s + 0.5 < self.state.open_until_s <= now_s + 1.0

    @rule()
    def begin(self) -> None:
        before = self.state
        due = before.phase is BreakerPhase.OPEN and self.now_s >= before.open_until_s
        assert core.probe_due(before, RULES, self.now_s) is due
        self.state = core.begin_probe(before, RULES, self.now_s)
        assert (self.state.phase is BreakerPhase.HALF_OPEN) is (
            due or before.phase is BreakerPhase.HALF_OPEN
        )
        assert self.state.generation == before.generation + due

    @precondition(lambda self: self.state.phase is BreakerPhase.HALF_OPEN)
    @rule(ok=st.booleans(), late=st.booleans())
    def end(self, *, ok: bool, late: bool) -> None:
        before = self.state
        self.state = core.end_probe(
            before, RULES, ok=ok, generation=before.generation - late, now_s=self.now_s, draw=0.0
        )
        if late:
            assert self.state is before
        else:
            assert self.state.phase is (BreakerPhase.CLOSED if ok else BreakerPhase.OPEN)
            assert self.state.failed_probes == (0 if ok else before.failed_probes + 1)

    @rule()
    def expire(self) -> None:
        before = self.state
        gone = before.phase is BreakerPhase.HALF_OPEN and self.now_s >= before.probe_until_s
        self.state = core.expire_probe(before, RULES, self.now_s, 0.0)
        assert (self.state is not before) is gone

    @invariant()
    def window_is_the_twins(self) -> None:
        assert core.counted(self.state, RULES, self.now_s) == self.twin.counted(self.now_s)
        numbers = [bucket.number for bucket in self.state.window]
        assert numbers == sorted(set(numbers))
        assert len(numbers) <= core.BUCKETS

    @invariant()
    def only_a_closed_breaker_admits_and_counts(self) -> None:
        closed = self.state.phase is BreakerPhase.CLOSED
        assert core.admits(self.state, RULES) is closed
        assert closed or self.state.window == ()


Breaker.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestBreaker = Breaker.TestCase
