from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.core.replicas import RETURN_S, LogClock, Replica, Seen, end_of_log, look

LAG_MAX_S = 2.0


def log_of(*looks: tuple[int, float], timeline: int = 1) -> LogClock:
    log = LogClock()
    for position, at_s in looks:
        log.tell(Seen(position, timeline), at_s)
    return log


def test_a_lag_is_the_age_of_the_first_entry_that_is_missing() -> None:
    log = log_of((100, 10.0), (200, 11.0), (300, 12.0), (300, 20.0))
    assert log.lag_s(300) == 0.0
    assert log.lag_s(299) == 8.0
    assert log.lag_s(200) == 8.0
    assert log.lag_s(150) == 9.0
    assert log.lag_s(0) == 10.0


def test_an_idle_or_absent_primary_makes_nobody_lag() -> None:
    log = log_of((100, 10.0), (100, 50.0))
    assert log.lag_s(100) == 0.0
    assert LogClock().lag_s(0) == 0.0


def test_who_misses_what_a_primary_took_with_it_is_read_from_for_as_long_as_that_is_away() -> None:
    log = log_of((100, 10.0), (200, 11.0), (300, 11.2))
    there = look(Replica(), Seen(200), log, LAG_MAX_S, 11.3)
    later = look(there, Seen(200), log, LAG_MAX_S, 1000.0)
    assert later.in_rotation
    assert later.lag_s == there.lag_s == 0.0
    log.tell(Seen(300, 1), 1000.2)
    assert not look(later, Seen(200), log, LAG_MAX_S, 1000.3).in_rotation


def test_another_history_begins_anew_and_an_older_one_is_not_listened_to() -> None:
    log = log_of((100, 10.0), (900, 11.0))
    log.tell(Seen(500, 2), 12.0)
    assert log.lag_s(500) == 0.0, "what was lost with the old primary is no lag"
    log.tell(Seen(950, 1), 14.0)
    assert log.lag_s(500) == 0.0
    log.tell(Seen(600, 2), 16.0)
    log.tell(Seen(590, 2), 18.0)
    assert log.lag_s(500) == 2.0, "a look that was overtaken changes nothing"
    assert log.timeline == 2


@given(
    st.lists(st.tuples(st.integers(0, 1000), st.floats(0, 10)), max_size=30), st.integers(0, 999)
)
def test_a_lag_is_what_a_plain_search_finds(steps: list[tuple[int, float]], position: int) -> None:
    log, at_s, told, plain = LogClock(), 0.0, 0, []
    for grown, passed_s in steps:
        at_s, told = at_s + passed_s, told + grown
        log.tell(Seen(told, 1), at_s)
        plain.append((told, at_s))
    log.tell(Seen(told, 1), at_s + 1.0)
    missing = [seen_s for there, seen_s in plain if there > position]
    assert log.lag_s(position) == (at_s + 1.0 - missing[0] if missing else 0.0)


def test_a_replica_leaves_at_once_and_comes_back_after_a_while() -> None:
    log = log_of((100, 0.0), (200, 10.0))
    there = look(Replica(), Seen(200), log, LAG_MAX_S, 10.0)
    assert there.in_rotation, "the first look is believed"
    log.tell(Seen(200, 1), 13.0)
    behind = look(there, Seen(100), log, LAG_MAX_S, 13.0)
    assert (behind.in_rotation, behind.lag_s, behind.position) == (False, 3.0, 100)
    well = look(behind, Seen(200), log, LAG_MAX_S, 14.0)
    assert not well.in_rotation
    well = look(well, Seen(200), log, LAG_MAX_S, 14.0 + RETURN_S)
    assert well.in_rotation


def test_one_that_does_not_answer_is_not_read_from_and_keeps_what_is_known_of_it() -> None:
    log = log_of((100, 0.0))
    assert not look(Replica(), None, log, LAG_MAX_S, 1.0).in_rotation
    there = look(Replica(), Seen(100), log, LAG_MAX_S, 1.0)
    gone = look(there, None, log, LAG_MAX_S, 2.0)
    assert (gone.in_rotation, gone.position, gone.silent) == (False, 100, True)
    assert not look(gone, Seen(100), log, LAG_MAX_S, 2.1).silent


@pytest.mark.parametrize(("timeline", "read_from"), [(0, True), (1, False), (2, True), (3, True)])
def test_a_deposed_primary_is_not_read_from(timeline: int, *, read_from: bool) -> None:
    log = log_of((100, 0.0), timeline=2)
    found = look(Replica(), Seen(100, timeline), log, LAG_MAX_S, 1.0)
    assert found.in_rotation is read_from
    assert found.primary is (timeline > 0)


@pytest.mark.parametrize(
    ("told", "ends"), [(8192 + 24, 8192), (8192 * 2048 + 40, 8192 * 2048), (8192, 8192), (99, 99)]
)
def test_a_log_that_ends_with_a_page_ends_there(told: int, ends: int) -> None:
    assert end_of_log(told) == ends


def test_looks_are_bounded() -> None:
    log = log_of(*((position, float(position)) for position in range(1, 10_000)))
    assert log.lag_s(0) == 4095.0


def test_positions_are_compared_with_positions_from_the_first_look_on() -> None:
    assert LogClock().timeline == 0
    assert log_of((5, 10.0), (7, 11.0), (7, 20.0)).lag_s(5) == 9.0


def test_a_lag_at_the_limit_is_none_too_many_and_the_first_look_is_remembered() -> None:
    log = log_of((100, 0.0), (200, 10.0), (200, 10.0 + LAG_MAX_S))
    found = look(Replica(), Seen(100), log, LAG_MAX_S, 10.0 + LAG_MAX_S)
    assert found.in_rotation
    assert found.latch is not None
    assert found.latch.changed_s == 10.0 + LAG_MAX_S


def test_one_that_answers_again_is_read_from_after_a_while() -> None:
    log = log_of((100, 0.0))
    gone = look(look(Replica(), Seen(100), log, LAG_MAX_S, 1.0), None, log, LAG_MAX_S, 2.0)
    back = look(gone, Seen(100), log, LAG_MAX_S, 2.5)
    assert not back.in_rotation
    assert look(back, Seen(100), log, LAG_MAX_S, 2.5 + RETURN_S).in_rotation
