from __future__ import annotations

from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.core.sizing import (
    WAITERS_MAX,
    DatabaseKind,
    Given,
    ServerLimits,
    Sizing,
    can_fire,
    connections_problem,
    connections_wanted,
    derive,
    reserve_for,
    room_for,
)

DUCKDB, POSTGRES, NONE = DatabaseKind.DUCKDB, DatabaseKind.POSTGRES, DatabaseKind.NONE


def figures(sizing: Sizing) -> tuple[int, ...]:
    return tuple(asdict(sizing).values())


@pytest.mark.parametrize(
    ("kind", "cores", "expected"),
    [
        # workers, threads, reserve, read pool, read waiters, write pool, write waiters
        (DUCKDB, 1, (1, 93, 11, 2, 40, 1, 39)),
        (DUCKDB, 2, (1, 93, 11, 2, 40, 1, 39)),
        (DUCKDB, 6, (1, 97, 11, 6, 40, 1, 39)),
        (DUCKDB, 64, (1, 99, 11, 8, 40, 1, 39)),
        (POSTGRES, 1, (2, 36, 4, 4, 12, 4, 12)),
        (POSTGRES, 64, (4, 36, 4, 4, 12, 4, 12)),
        (NONE, 2, (2, 18, 2, 4, 4, 4, 4)),
        (NONE, 64, (8, 18, 2, 4, 4, 4, 4)),
    ],
)
def test_the_defaults(kind: DatabaseKind, cores: int, expected: tuple[int, ...]) -> None:
    assert figures(derive(kind, cores)) == expected


@pytest.mark.parametrize(
    ("needed", "expected"), [(2, 2), (16, 2), (17, 3), (32, 4), (33, 5), (66, 9)]
)
def test_the_reserve_is_an_eighth_rounded_up_and_at_least_two(needed: int, expected: int) -> None:
    assert reserve_for(needed) == expected


@given(threads=st.integers(0, 1200))
def test_the_room_is_the_largest_that_leaves_its_reserve(threads: int) -> None:
    room = room_for(threads)
    if room:
        assert room + reserve_for(room) <= threads
    assert room + 1 + reserve_for(room + 1) > threads


def test_waiters_fit_the_threads_that_are_given() -> None:
    fitted = derive(POSTGRES, 2, Given(threads=20))
    assert (fitted.read_waiters, fitted.write_waiters, fitted.thread_reserve) == (4, 5, 3)
    assert can_fire(fitted) == []


def test_more_threads_make_more_room_to_wait() -> None:
    fitted = derive(DUCKDB, 2, Given(threads=1000))
    assert fitted.read_waiters > 40
    assert fitted.write_waiters > 400
    assert max(fitted.read_waiters, fitted.write_waiters) <= WAITERS_MAX


def test_a_lanes_own_waiters_stay_and_the_other_lane_takes_what_is_left() -> None:
    reads = derive(POSTGRES, 2, Given(threads=26, thread_reserve=2, read_waiters=10))
    writes = derive(POSTGRES, 2, Given(threads=26, thread_reserve=2, write_waiters=10))
    assert (reads.read_waiters, reads.write_waiters) == (10, 6)
    assert (writes.read_waiters, writes.write_waiters) == (6, 10)


def test_lanes_without_room_wait_not_at_all() -> None:
    assert room_for(2, 5) == 0
    full = Given(threads=26, thread_reserve=2)
    reads = derive(POSTGRES, 2, replace(full, read_waiters=50))
    writes = derive(POSTGRES, 2, replace(full, write_waiters=50))
    assert (reads.write_waiters, writes.read_waiters) == (0, 0)


def test_what_was_given_is_never_changed() -> None:
    given_sizes = Given(
        workers=3, threads=10, thread_reserve=1, read_pool_size=7,
        read_waiters=8, write_pool_size=9, write_waiters=0,
    )  # fmt: skip
    assert figures(derive(POSTGRES, 2, given_sizes)) == (3, 10, 1, 7, 8, 9, 0)


def test_a_guard_that_can_never_fire_is_told_with_the_numbers_and_what_to_set() -> None:
    (finding,) = can_fire(derive(POSTGRES, 2, Given(threads=30, read_waiters=12, write_waiters=12)))
    assert finding.fatal
    assert "can never fire: the lanes can hold 32 threads" in finding.text
    assert "30 threads less 4 in reserve leave 26; set GUARD_THREADS=36" in finding.text
    assert "lower by 6 together" in finding.text


def test_pools_that_are_too_large_by_themselves_are_told() -> None:
    (finding,) = can_fire(derive(POSTGRES, 2, Given(threads=6, read_pool_size=50)))
    assert finding.fatal
    assert "GUARD_READ_POOL_SIZE, GUARD_WRITE_POOL_SIZE and the waiters lower" in finding.text


def test_a_reserve_of_more_threads_than_there_are_leaves_none() -> None:
    (finding,) = can_fire(derive(POSTGRES, 2, Given(threads=3, thread_reserve=5)))
    assert "3 threads less 5 in reserve leave 0;" in finding.text


def test_waiters_that_make_up_the_whole_excess_can_make_room() -> None:
    fits = Given(threads=12, thread_reserve=4, read_waiters=3, write_waiters=4)
    (finding,) = can_fire(derive(POSTGRES, 2, fits))
    assert "lower by 7 together" in finding.text
    (finding,) = can_fire(derive(POSTGRES, 2, replace(fits, threads=11)))
    assert "and the waiters lower" in finding.text


def test_a_small_reserve_is_a_warning() -> None:
    (finding,) = can_fire(derive(POSTGRES, 2, Given(thread_reserve=1)))
    assert finding.fatal is False
    assert "GUARD_THREAD_RESERVE=4 and GUARD_THREADS=36" in finding.text


sizes = st.none() | st.integers(1, 60)
waits = st.none() | st.integers(0, 60)
chosen = st.builds(
    Given, threads=st.none() | st.integers(1, 300), thread_reserve=sizes, read_pool_size=sizes,
    read_waiters=waits, write_pool_size=sizes, write_waiters=waits,
)  # fmt: skip


@given(kind=st.sampled_from(DatabaseKind), cores=st.integers(1, 128), choice=chosen)
def test_the_advice_to_raise_the_threads_works(
    kind: DatabaseKind, cores: int, choice: Given
) -> None:
    sizing = derive(kind, cores, choice)
    for field, value in asdict(choice).items():
        assert value is None or getattr(sizing, field) == value
    fatal = any(finding.fatal for finding in can_fire(sizing))
    assert fatal == (sizing.needed > sizing.threads - sizing.thread_reserve)
    better = replace(sizing, threads=sizing.needed + sizing.thread_reserve)
    assert not any(finding.fatal for finding in can_fire(better))


@given(kind=st.sampled_from(DatabaseKind), cores=st.integers(1, 128), more=st.integers(0, 900))
def test_threads_alone_always_fit_once_the_pools_do(
    kind: DatabaseKind, cores: int, more: int
) -> None:
    least = derive(kind, cores, Given(read_waiters=0, write_waiters=0)).threads
    assert can_fire(derive(kind, cores, Given(threads=least + more))) == []


def test_connections_of_both_generations_must_fit() -> None:
    sizing = derive(POSTGRES, 2)
    assert connections_wanted(sizing) == 20
    assert connections_wanted(sizing, with_reads=False) == 12
    assert connections_problem(sizing, ServerLimits(43, 3)) == ""
    text = connections_problem(sizing, ServerLimits(42, 3))
    assert "2 workers x (4 read and 4 write connections + 2" in text
    assert "= 40 connections, and PostgreSQL allows 39 (max_connections 42 less 3" in text
    assert "lower GUARD_WORKERS or GUARD_READ_POOL_SIZE, GUARD_WRITE_POOL_SIZE" in text


def test_reads_at_another_server_are_not_counted_here() -> None:
    sizing = derive(POSTGRES, 2)
    assert connections_problem(sizing, ServerLimits(24, 0), with_reads=False) == ""
    text = connections_problem(sizing, ServerLimits(23, 0), with_reads=False)
    assert "= 24 connections" in text
    assert "(4 write connections + 2" in text
    assert "READ" not in text


def test_the_roles_own_limit_is_told_where_it_is_the_lower_one() -> None:
    limits = ServerLimits(100, 3, cap=10)
    assert limits.usable == 10
    assert "allows 10 (the connection limit of the role" in connections_problem(
        derive(POSTGRES, 2), limits
    )
