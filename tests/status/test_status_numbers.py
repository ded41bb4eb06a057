"""Histograms and what-ifs: tables and properties."""

from __future__ import annotations

from itertools import pairwise
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.status.histogram import count_over, quantile
from guard.status.what_if import GRID_S, Seen, predicted_wait, steps

BOUNDS = (0.1, 0.2, 0.4)
counts = st.lists(st.integers(0, 50).map(float), min_size=4, max_size=4)


@pytest.mark.parametrize(
    ("buckets", "share", "expected"),
    [
        ((0, 0, 0, 0), 0.5, None),
        ((10, 0, 0, 0), 0.5, 0.05),
        ((0, 10, 0, 0), 0.5, 0.15),
        ((5, 0, 5, 0), 0.99, 0.396),
        ((5, 0, 5, 0), 0.5, 0.1),
        ((0, 0, 0, 7), 0.5, 0.4),
        ((1, 0, 0, 99), 0.01, 0.1),
    ],
)
def test_quantile(buckets: tuple[float, ...], share: float, expected: float | None) -> None:
    found = quantile(BOUNDS, buckets, share)
    assert found == (expected if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("value", "expected"), [(0.0, 40), (0.05, 35), (0.1, 30), (0.3, 15), (0.4, 10), (9.0, 10)]
)
def test_count_over(value: float, expected: float) -> None:
    assert count_over(BOUNDS, (10, 10, 10, 10), value) == pytest.approx(expected)


@given(counts, st.floats(0.01, 0.99))
def test_a_quantile_splits_the_observations(buckets: list[float], share: float) -> None:
    found = quantile(BOUNDS, buckets, share)
    if found is None:
        assert sum(buckets) == 0
    elif found < BOUNDS[-1]:
        assert count_over(BOUNDS, buckets, found) == pytest.approx((1 - share) * sum(buckets))


seen = st.builds(
    Seen, bounds=st.just(BOUNDS), waits=counts, admitted=st.integers(0, 500).map(float),
    shed_by_wait=st.integers(0, 100).map(float), shed_otherwise=st.integers(0, 100).map(float),
    predicted=st.lists(st.tuples(st.floats(0.1, 5.0) | st.just(inf), st.integers(1, 9).map(float))),
    budget_s=st.sampled_from((*GRID_S, 0.123)),
)  # fmt: skip


@given(seen)
def test_a_larger_budget_never_sheds_more_and_the_one_in_force_is_exact(one: Seen) -> None:
    found = steps(one)
    assert [step.budget_s for step in found] == sorted({*GRID_S, one.budget_s})
    assert all(less.shed >= more.shed - 1e-9 for less, more in pairwise(found))
    shed = {step.budget_s: step.shed for step in found}
    assert shed[one.budget_s] == one.shed_by_wait + one.shed_otherwise
    requests = one.admitted + one.shed_by_wait + one.shed_otherwise
    assert all(one.shed_otherwise <= step.shed <= requests + 1e-9 for step in found)


def test_a_what_if_by_hand() -> None:
    one = Seen(BOUNDS, (80, 20, 0, 0), 120, 30, 4, [(0.3, 2), (0.7, 1), (inf, 1)], 0.2)
    found = {step.budget_s: step.shed for step in steps(one)}
    assert found[0.1] == 4 + 30 + 20
    assert found[0.15] == 4 + 30 + 10
    assert found[0.2] == 34
    assert found[0.4] == 4 + 30 * 2 / 4
    assert found[1.0] == 4 + 30 * 1 / 4


@pytest.mark.parametrize(("queued", "expected"), [(3, 0.3), (4, inf), (9, inf)])
def test_a_full_queue_is_no_matter_of_the_budget(queued: int, expected: float) -> None:
    assert predicted_wait(0.3, queued, waiters_max=4) == expected
