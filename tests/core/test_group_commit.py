from __future__ import annotations

from collections import deque
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import StrEnum
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.core.group_commit import (
    FAILURES_MAX,
    SUSPECTS_MAX,
    Transaction,
    after_failure,
    alone,
    likeliest,
    planned,
    row_kinds,
)


class Colour(StrEnum):
    RED = "red"


class Stamp(datetime):
    pass


class Row(list[int]):
    pass


NOW = datetime(2020, 1, 2, 3, 4, 5)  # noqa: DTZ001 -- both kinds are meant


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2**100),
        ("a", ""),
        (1.5, float("inf")),
        (date(2020, 1, 1), date(1, 1, 1)),
        (NOW, datetime.max),  # noqa: DTZ901 -- both kinds are meant
        (uuid4(), uuid4()),
        (["a"], ["b", None]),
        (None, None),
        ([], [None]),
        (True, False),
    ],
)
def test_values_of_one_kind_share_a_list(one: object, other: object) -> None:
    assert row_kinds((one,)) == row_kinds((other,)) is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.5),
        (1, True),
        ("a", 1),
        (date(2020, 1, 1), NOW),
        (NOW, NOW.replace(tzinfo=UTC)),
        (time(1), time(1, tzinfo=UTC)),
        (uuid4(), "a"),
        (["a"], [1]),
        (["a"], "a"),
        ([], ["a"]),
        (None, "a"),
    ],
)
def test_values_of_different_kinds_do_not(one: object, other: object) -> None:
    assert row_kinds((one,)) != row_kinds((other,))


@pytest.mark.parametrize(
    "value",
    [
        Decimal("1.5"), {"a": 1}, Colour.RED, object(), ["a", 1], [["a"]], ("a",), [Colour.RED],
        Stamp(2020, 1, 2, tzinfo=UTC), Row([1]),
    ],
)  # fmt: skip
def test_other_values_share_with_nobody(value: object) -> None:
    assert row_kinds((1, value)) is None


def test_inserts_are_grouped_and_units_come_after_them() -> None:
    assert planned(["a", None, "b", "a", None]) == (((0, 3), (2,)), ((1,), (4,)))
    assert planned(["a"]) == (((0,),),)
    assert planned([None]) == (((0,),),)
    assert planned([]) == ()


@given(st.lists(st.sampled_from([None, "a", "b"])))
def test_every_unit_is_planned_once(keys: list[str | None]) -> None:
    places = [place for transaction in planned(keys) for step in transaction for place in step]
    assert sorted(places) == list(range(len(keys)))


def test_the_first_units_error_is_its_own() -> None:
    assert after_failure(((3,), (4,)), 0, (), 1) == (3, (((4,),),))
    assert after_failure(((3,),), 0, (), 1) == (3, ())


def test_a_later_unit_is_first_tried_alone() -> None:
    assert after_failure(((3,), (4,), (5,)), 1, (), 1) == (None, (((4,),), ((3,), (5,))))


def test_suspects_are_tried_alone() -> None:
    assert after_failure(((0, 1, 2, 3),), 0, {2}, 1) == (None, (((2,),), ((0, 1, 3),)))


def test_a_few_suspects_are_a_clue_and_many_are_none() -> None:
    step = tuple(range(10))
    few, many = set(range(SUSPECTS_MAX)), set(range(SUSPECTS_MAX + 1))
    alone_first = tuple(((place,),) for place in sorted(few))
    assert after_failure((step,), 0, few, 1).transactions[:-1] == alone_first
    assert after_failure((step,), 0, many, 1).transactions == ((step[:5], step[5:]),)


@pytest.mark.parametrize("suspects", [set(), {0, 1, 2, 3}, {9}])
def test_without_a_clue_the_step_is_halved(suspects: set[int]) -> None:
    verdict = after_failure(((7,), (0, 1, 2, 3), (8,)), 1, suspects, 1)
    assert verdict == (None, (((7,), (0, 1), (2, 3), (8,)),))


def test_after_many_failures_everyone_is_alone() -> None:
    verdict = after_failure(((0, 1), (2,)), 0, (), FAILURES_MAX)
    assert verdict == (None, (((0,),), ((1,),), ((2,),)))
    assert alone(((0, 1), (2,))) == verdict.transactions


@given(
    st.lists(st.sampled_from([None, "a", "b"]), min_size=1, max_size=40),
    st.sets(st.integers(0, 39)),
    st.sets(st.integers(0, 39)),
    st.sets(st.tuples(st.integers(0, 39), st.integers(0, 39))),
)
def test_each_unit_gets_exactly_the_outcome_that_it_has_alone(
    keys: list[str | None],
    bad: set[int],
    suspects: set[int],
    clashes: set[tuple[int, int]],
) -> None:
    """A clash: the second can't run after the first in one transaction, but can by itself."""
    pending: deque[Transaction] = deque(planned(keys))
    committed: list[int] = []
    failed: list[int] = []
    failures = tries = 0
    while pending:
        transaction = pending.popleft()
        tries += 1
        at = _fails_at(transaction, bad, clashes)
        if at is None:
            committed += [place for step in transaction for place in step]
            continue
        failures += 1
        verdict = after_failure(transaction, at, suspects, failures)
        failed += [] if verdict.failed is None else [verdict.failed]
        pending.extendleft(reversed(verdict.transactions))
    assert sorted(failed) == sorted(bad & set(range(len(keys))))
    assert sorted(committed + failed) == list(range(len(keys)))
    assert tries <= 2 * FAILURES_MAX + 2 * len(keys)


def _fails_at(transaction: Transaction, bad: set[int], clashes: set[tuple[int, int]]) -> int | None:
    before: set[int] = set()
    for at, step in enumerate(transaction):
        inside = set(step)
        clash = any(
            second in inside and first != second and first in before | inside
            for first, second in clashes
        )
        if inside & bad or clash:
            return at
        before |= inside
    return None


def test_the_likeliest_stand_out() -> None:
    assert likeliest([0, 2, 1, 2]) == {1, 3}
    assert likeliest([0, 0]) == set()
    assert likeliest([1, 1]) == set()
    assert likeliest([]) == set()
    assert likeliest([1, 0]) == {0}
    assert likeliest([0, -1]) == set()
