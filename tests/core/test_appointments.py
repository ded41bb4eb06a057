import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.core import appointments
from guard.core.appointments import (
    CROWDED_S,
    SHARE,
    WARM_S,
    Pace,
    Second,
    capacity_per_s,
    has_room,
    kept,
    observe,
    spare_per_s,
    spread,
    window,
)

COUNTS = st.integers(0, 10_000).map(float)
SECONDS = st.builds(
    lambda served, refused, others, promised: Second(
        served + refused + others, served, refused, promised
    ),
    COUNTS,
    COUNTS,
    COUNTS,
    COUNTS,
)


def steady(rate, seconds=30, pace=None):
    found = pace or Pace()
    for _ in range(seconds):
        found = observe(found, Second(rate, rate, 0.0, 0.0))
    return found


@pytest.mark.parametrize(
    ("not_before", "low", "high", "outage", "expected"),
    [
        (0.0, 1, 60, False, (1, 30)),
        (0.2, 1, 60, False, (1, 30)),
        (2.5, 1, 60, False, (3, 30)),
        (500.0, 1, 60, False, (30, 30)),
        (0.0, 5, 60, False, (5, 30)),
        (0.0, 1, 60, True, (30, 60)),
        (9.3, 1, 60, True, (30, 60)),
        (44.1, 1, 60, True, (46, 60)),
        (500.0, 1, 60, True, (60, 60)),
        (0.0, 1, 1, False, (1, 1)),
        (0.0, 1, 1, True, (1, 1)),
        (0.0, 40, 60, False, (40, 40)),
        (0.0, 40, 60, True, (40, 60)),
        (0.0, 1, 7, True, (4, 7)),
    ],
)
def test_windows(not_before, low, high, outage, expected):
    assert window(not_before, low, high, outage=outage) == expected


@given(st.floats(0, 1000), st.integers(1, 60), st.integers(0, 59), st.booleans())
def test_a_window_is_within_the_settings(not_before, low, more, outage):
    high = min(60, low + more)
    first, last = window(not_before, low, high, outage=outage)
    assert isinstance(first, int)
    assert low <= first <= last <= high


@given(st.integers(2, 60), st.floats(0, 1000))
def test_three_tries_outlast_an_outage_as_long_as_the_horizon(high, not_before):
    first, _ = window(not_before, 1, high, outage=True)
    assert 2 * first >= high


def test_nothing_is_known_at_first_but_the_slots():
    assert capacity_per_s(Pace(), 800.0) == 800.0
    assert spare_per_s(Pace(), 800.0) == 640
    assert spare_per_s(Pace(), 0.0) == 0


def test_twice_what_was_seen_is_believed_up_to_what_the_slots_can_do():
    pace = steady(100.0)
    assert capacity_per_s(pace, 10_000.0) == pytest.approx(200.0)
    assert capacity_per_s(pace, 150.0) == 150.0
    assert spare_per_s(pace, 150.0) == int(SHARE * 150.0 - 100.0) == 20


def test_what_was_served_is_proof_whatever_the_slots_say():
    assert capacity_per_s(steady(100.0), 20.0) == pytest.approx(100.0)


CROWD = Second(300.0, 120.0, 180.0, 0.0)


def refusing(pace, seconds, second=CROWD):
    for _ in range(seconds):
        pace = observe(pace, second)
    return pace


def test_want_of_room_takes_the_headroom_away_for_a_minute():
    crowded = refusing(steady(100.0), 3)
    assert capacity_per_s(crowded, 10_000.0) == crowded.best_per_s < 120.0
    # The moving average is over a tenth for some seconds more.
    later = steady(100.0, CROWDED_S - 1, crowded)
    assert capacity_per_s(later, 10_000.0) == later.best_per_s
    assert capacity_per_s(steady(100.0, 15, later), 10_000.0) > 190.0


@pytest.mark.parametrize(
    "second",
    [
        Second(105.0, 97.0, 8.0, 0.0),
        Second(100.0, 50.0, 50.0, 0.0),
        Second(100.0, 0.0, 100.0, 0.0),
    ],
    ids=["few refused", "the outage begins", "the outage"],
)
def test_seconds_that_say_nothing_about_the_capacity(second):
    assert refusing(steady(100.0), 20, second).crowded_left_s == 0


def test_one_bad_second_is_no_crowd():
    assert refusing(steady(100.0), 1, Second(170.0, 100.0, 70.0, 0.0)).crowded_left_s == 0


@pytest.mark.parametrize(
    ("second", "crowded"),
    [
        # One second weighs a fifth: half of it refused is a tenth, which is not yet a crowd.
        (Second(200.0, 100.0, 100.0, 0.0), False),
        (Second(202.0, 100.0, 102.0, 0.0), True),
        # Three quarters of the best are enough to say what the capacity is.
        (Second(300.0, 75.0, 225.0, 0.0), True),
        (Second(300.0, 74.0, 226.0, 0.0), False),
    ],
)
def test_when_one_second_is_a_crowd(second, crowded):
    assert (observe(steady(100.0), second).crowded_left_s > 0) is crowded


def test_refusals_add_up_to_a_crowd():
    second = Second(130.0, 100.0, 30.0, 0.0)
    assert refusing(steady(100.0), 2, second).crowded_left_s == 0
    assert refusing(steady(100.0), 3, second).crowded_left_s == CROWDED_S


def test_a_lane_of_one_request_per_second_has_a_capacity_and_can_be_crowded():
    slow = steady(1.0)
    assert slow.best_per_s == 1.0
    assert refusing(slow, 3, Second(3.0, 1.0, 2.0, 0.0)).crowded_left_s > 0


def test_a_slow_start_is_no_crowd():
    assert refusing(Pace(), WARM_S).crowded_left_s == 0
    assert refusing(Pace(), WARM_S + 1).crowded_left_s > 0


def test_an_outage_forgets_nothing():
    before = pace = steady(100.0)
    for _ in range(600):
        pace = observe(pace, Second(100.0, 0.0, 0.0, 0.0))
    assert pace.best_per_s == before.best_per_s


def test_quiet_times_are_slowly_believed():
    pace = steady(10.0, 600, steady(100.0))
    assert 35 < pace.best_per_s < 38


def test_clients_that_come_as_promised_are_not_fresh():
    pace = steady(100.0)
    for _ in range(30):
        pace = observe(pace, Second(180.0, 180.0, 0.0, 80.0))
    assert pace.fresh_per_s == pytest.approx(100.0)


@pytest.mark.parametrize("obeying", [0.2, 0.5, 1.0])
def test_no_shows_are_made_up_for(obeying):
    pace = steady(100.0)
    for _ in range(200):
        promised = spare_per_s(pace, 200.0)
        arrived = 100.0 + obeying * promised
        pace = observe(pace, Second(arrived, arrived, 0.0, promised))
    # At most all that is planned for can be promised.
    assert arrived == pytest.approx(min(160.0, 100.0 + obeying * 160.0), abs=3)


@given(st.lists(SECONDS, max_size=40), st.floats(0, 1e6))
def test_figures_stay_sound(seconds, bound):
    pace = Pace()
    for second in seconds:
        pace = observe(pace, second)
    served = max((second.served for second in seconds), default=0.0)
    assert 0 <= pace.fresh_per_s <= max((s.arrived for s in seconds), default=0.0) + 1e-6
    assert 0 <= pace.best_per_s <= served + 1e-6
    assert 0 <= pace.crowded_left_s <= CROWDED_S
    capacity = capacity_per_s(pace, bound)
    assert pace.best_per_s <= capacity <= max(bound, appointments.HEADROOM * served + 1e-6)
    assert 0 <= spare_per_s(pace, bound) <= SHARE * capacity


@pytest.mark.parametrize(
    ("promised", "in_quarter", "spare", "room"),
    [
        (0, 0, 0, False),
        (0, 0, 1, True),
        (1, 0, 1, False),
        (1, 1, 4, False),
        (1, 0, 4, True),
        (3, 1, 5, True),
        (5, 1, 5, False),
        (79, 19, 80, True),
        (79, 20, 80, False),
    ],
)
def test_room(promised, in_quarter, spare, room):
    assert has_room(promised, in_quarter, spare) is room


@given(st.floats(0, 1, exclude_max=True), st.integers(0, 2**31), st.integers(0, 59))
def test_the_spread_stays_within(draw, first, more):
    assert first <= spread(draw, first, first + more) <= first + more


def test_the_spread_is_even():
    found = [spread(number / 600, 3, 8) for number in range(600)]
    assert [found.count(second) for second in range(3, 9)] == [100] * 6


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (Second(0.0, 0.0, 0.0, 7.0), (0.0, 0.0)),
        (Second(1.0, 1.0, 0.0, 7.0), (7.0, 7.0)),
        (Second(100.0, 100.0, 0.0, 7.0), (7.0, 7.0)),
        (Second(100.0, 25.0, 0.0, 8.0), (8.0, 2.0)),
        (Second(100.0, 0.0, 0.0, 8.0), (8.0, 0.0)),
        (Second(100.0, 102.0, 0.0, 8.0), (8.0, 8.0)),
    ],
)
def test_kept_promises(second, expected):
    assert kept(second) == expected
