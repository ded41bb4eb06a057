"""The search for a limit step by step: when a measurement ends, and what follows from it."""

from __future__ import annotations

from typing import Any

import pytest

from guard.core.adaptive import (
    DRIFT,
    FACTORS,
    FORGET_S,
    PAUSE_MAX_S,
    PAUSE_S,
    SETTLE_S,
    UNLIMITED,
    USES_MIN,
    WINDOW_MAX_S,
    Adaptive,
    Rate,
    allowed,
    look,
)

SLOTS = 8
NOW_S = 1000.0
PER_S = 1000
SAME = Rate(PER_S, 400)


def measuring(**more: Any) -> Adaptive:
    """Return a state whose measurement began at ``NOW_S``, long after any pause."""
    begun = Adaptive(began_s=NOW_S, began_uses=100, began_used_s=50.0, needed_s=NOW_S)
    return begun._replace(**more)


def after(
    state: Adaptive,
    done: int = PER_S,
    took_s: float = 1.0,
    *,
    used_ratio: float = 1.0,
    slots: int = SLOTS,
) -> Adaptive:
    """Return the state after so many uses, in so long a time, of so much of what is allowed."""
    used_s = used_ratio * allowed(state, slots) * took_s
    assert state.began_used_s is not None
    return look(
        state, slots, state.began_uses + done, state.began_used_s + used_s, state.began_s + took_s
    )


@pytest.mark.parametrize(
    ("done", "took_s", "measured"),
    [
        (USES_MIN, 1.0, True),
        (9 * USES_MIN, 0.999, False),
        (USES_MIN - 1, 1.0, False),
        (USES_MIN - 1, WINDOW_MAX_S - 0.001, False),
        (USES_MIN, WINDOW_MAX_S - 0.001, True),
    ],
)
def test_a_measurement_takes_a_second_and_enough_uses(
    done: int, took_s: float, *, measured: bool
) -> None:
    state = measuring()
    found = after(state, done, took_s)
    assert (found is not state) is measured
    assert [rate.uses for rate in found.rates] == [done] * measured
    assert [rate.per_s for rate in found.rates] == pytest.approx([done / took_s] * measured)


def test_a_measurement_that_lasts_too_long_says_nothing_and_the_next_one_begins() -> None:
    found = after(measuring(rates=(SAME, SAME)), USES_MIN - 1, WINDOW_MAX_S)
    assert found.rates == ()
    assert found.began_s == NOW_S + WINDOW_MAX_S
    assert found.began_uses == 100 + USES_MIN - 1
    assert found.began_used_s == 50.0 + SLOTS * WINDOW_MAX_S


@pytest.mark.parametrize(("used_ratio", "busy"), [(1.0, True), (0.8, True), (0.79, False)])
def test_a_measurement_counts_while_most_of_what_is_allowed_is_used(
    used_ratio: float, *, busy: bool
) -> None:
    # Zero, so that four fifths of the slots are exact.
    found = after(measuring(began_used_s=0.0), used_ratio=used_ratio)
    assert bool(found.rates) is busy
    assert (found.needed_s > NOW_S) is busy


def test_what_was_used_before_the_measurement_counts_for_nothing() -> None:
    assert after(measuring(), used_ratio=0.1).rates == ()


@pytest.mark.parametrize(("slots", "needed"), [(0, False), (1, True)])
def test_nothing_is_measured_without_a_connection(slots: int, *, needed: bool) -> None:
    found = after(measuring(), slots=slots)
    assert (found.needed_s > NOW_S) is needed


def test_no_uses_are_no_news() -> None:
    state = measuring()
    assert after(state, 0, 0.5) is state


def test_the_first_look_begins_a_measurement_and_a_new_count_begins_another() -> None:
    first = look(Adaptive(), SLOTS, 7, 3.0, NOW_S)
    assert (first.began_s, first.began_uses, first.began_used_s) == (NOW_S, 7, 3.0)
    assert first.needed_s == NOW_S
    anew = look(first, SLOTS, 0, 0.0, NOW_S + 5.0)
    assert (anew.began_s, anew.began_uses, anew.began_used_s) == (NOW_S + 5.0, 0, 0.0)
    assert anew.needed_s == NOW_S


def test_after_a_change_of_the_limit_nothing_is_measured_until_it_has_settled() -> None:
    changed = after(measuring())
    assert allowed(changed, SLOTS) == SLOTS // 2
    begin_s = NOW_S + 1.0 + SETTLE_S
    assert look(changed, SLOTS, 5000, 100.0, begin_s - 0.001) is changed
    begun = look(changed, SLOTS, 5000, 100.0, begin_s)
    assert (begun.began_s, begun.began_uses, begun.began_used_s) == (begin_s, 5000, 100.0)


def test_no_trial_begins_before_the_pause_is_over() -> None:
    over = after(measuring(paused_until_s=NOW_S + 1.0))
    assert len(over.rates) == 1
    paused = after(measuring(paused_until_s=NOW_S + 1.1))
    assert paused.rates == ()
    assert paused.paused_per_s == PER_S
    assert paused.began_used_s == 50.0 + SLOTS


@pytest.mark.parametrize(
    ("limit", "factor", "tried"),
    [
        (7, 0, 3),  # a half
        (7, 1, 11),  # one and a half
        (7, 2, 5),  # three quarters
        (7, 3, 14),  # twice
        (3, 1, 5),
        (2, 0, 1),
        (12, 3, 16),  # no more than there are
        (UNLIMITED, 0, 8),
    ],
)
def test_what_is_tried(limit: int, factor: int, tried: int) -> None:
    found = after(measuring(limit=limit, factor=factor), slots=16)
    assert allowed(found, 16) == tried
    assert found.limit == limit


@pytest.mark.parametrize(("limit", "factor"), [(1, 0), (UNLIMITED, 1)])
def test_what_can_not_be_tried_is_passed_over_without_a_pause(limit: int, factor: int) -> None:
    found = after(measuring(limit=limit, factor=factor))
    assert (found.factor, found.rates, found.pause_s) == (factor + 1, (), PAUSE_S)
    assert found.paused_until_s < NOW_S


@pytest.mark.parametrize(
    ("before", "during", "afterwards", "taken"),
    [
        # With 400, 400 and 1,000 uses chance may do 5.7 %, and the gain must be 3 %.
        (1000, 1089, 1000, True),
        (1000, 1085, 1000, False),
        (1000, 1000, 1000, False),
        # Neighbours may differ by 15 %.
        (925, 1200, 1075, True),
        (1075, 1200, 925, True),
        (920, 1200, 1080, False),
        (1080, 1200, 920, False),
    ],
)
def test_a_trial_is_won_by_more_than_chance_between_like_neighbours(
    before: int, during: int, afterwards: int, *, taken: bool
) -> None:
    rates = (Rate(before, 400), Rate(during, 400))
    found = after(measuring(limit=6, tried=3, rates=rates, pause_s=20.0), afterwards)
    assert found.rates == ()
    if taken:
        assert (found.limit, found.factor, found.pause_s) == (3, 0, PAUSE_S)
        assert (found.began_s, found.began_used_s) == (NOW_S + 1.0 + SETTLE_S, None)
    else:
        assert (found.limit, found.factor) == (6, 1)
        # What says nothing is not tried again at once; what has merely lost makes room.
        unlike = abs(before - afterwards) > DRIFT * PER_S
        assert (found.paused_until_s > NOW_S) is unlike


def test_a_limit_as_large_as_the_pool_is_none() -> None:
    state = measuring(limit=4, tried=SLOTS, factor=3, rates=(SAME, Rate(2 * PER_S, 800)))
    assert after(state).limit == UNLIMITED


@pytest.mark.parametrize(
    ("done", "took_s", "before", "given_up"),
    [
        # 2 * sqrt(1 / (225 - 1 + 1) + 1 / 400) = 1/6, so 5/6 of 1,000 are clearly less.
        (224, 0.27, SAME, True),
        (224, 0.268, SAME, False),
        # The same with a few: 2 * sqrt(1/5 + 1/400) = 0.9, so a tenth is.
        (4, 0.39, Rate(100, 400), False),
        (4, 0.41, Rate(100, 400), True),
        (4, 0.39, Rate(100, 200), False),
        (4, 0.43, Rate(100, 200), True),
        (900, 0.9, SAME, False),
        (0, 0.9, SAME, False),
        # Not before the limit has settled once more.
        (40, SETTLE_S, SAME, True),
        (40, SETTLE_S - 0.001, SAME, False),
    ],
)
def test_a_trial_that_has_clearly_lost_is_given_up(
    done: int, took_s: float, before: Rate, *, given_up: bool
) -> None:
    state = measuring(tried=4, rates=(before,))
    found = after(state, done, took_s)
    if given_up:
        assert (found.rates, found.factor) == ((), 1)
        assert found.paused_until_s < NOW_S
        assert (found.began_s, found.began_used_s) == (NOW_S + took_s + SETTLE_S, None)
    else:
        assert found is state


def test_a_trial_is_given_up_as_soon_as_the_limit_has_settled() -> None:
    # From 0, so that the time is exact.
    state = measuring(began_s=0.0, tried=4, rates=(SAME,))
    assert after(state, 40, SETTLE_S).rates == ()


def test_each_factor_is_tried_once_before_a_pause_that_doubles() -> None:
    state, pauses, tried = Adaptive(), [], []
    now_s, uses, used_s = NOW_S, 0, 0.0
    while len(pauses) < 5:
        now_s, uses, used_s = now_s + 0.25, uses + 250, used_s + 0.25 * allowed(state, SLOTS)
        before, state = state, look(state, SLOTS, uses, used_s, now_s)
        tried += [before.factor] if len(state.rates) > len(before.rates) == 0 else []
        if state.paused_until_s > before.paused_until_s:
            assert state.paused_per_s == 0.0
            pauses.append(state.paused_until_s - now_s)
    assert pauses == [PAUSE_S, 2 * PAUSE_S, 4 * PAUSE_S, PAUSE_MAX_S, PAUSE_MAX_S]
    # All slots are the limit, so those over 1 are passed over.
    assert tried == [0, 2] * 5
    assert [FACTORS[factor] for factor in tried[:2]] == [0.5, 0.75]


@pytest.mark.parametrize(
    ("per_s", "ended"), [(1000, False), (1150, False), (1151, True), (850, False), (849, True)]
)
def test_another_throughput_ends_a_pause(per_s: int, *, ended: bool) -> None:
    state = measuring(paused_until_s=NOW_S + 30.0, paused_per_s=1000.0, pause_s=20.0)
    found = after(state, per_s)
    assert found.paused_until_s == (NOW_S + 1.0 if ended else NOW_S + 30.0)
    assert found.pause_s == (PAUSE_S if ended else 20.0)
    assert found.paused_per_s == 1000.0


@pytest.mark.parametrize(("took_s", "forgotten"), [(FORGET_S - 0.5, False), (FORGET_S, True)])
def test_a_limit_that_was_not_needed_for_a_minute_is_forgotten(
    took_s: float, *, forgotten: bool
) -> None:
    state = measuring(limit=3, factor=2, pause_s=20.0, rates=(SAME, SAME))
    found = after(state, USES_MIN, took_s, used_ratio=0.1)
    assert found.rates == ()
    if forgotten:
        assert (found.limit, found.factor, found.pause_s) == (UNLIMITED, 0, PAUSE_S)
        assert found.needed_s == NOW_S + took_s
    else:
        assert (found.limit, found.factor, found.pause_s) == (3, 2, 20.0)
        assert found.needed_s == NOW_S
