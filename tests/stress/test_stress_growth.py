from __future__ import annotations

from dataclasses import replace

import pytest

from stress.growth import Held, crowd, crowd_verdicts, inside, steady_verdicts
from stress.result import Run, Sample, summarise

RIGHT = [Sample("search", at / 10, 0.001, 0.01, 200, 200, right=True) for at in range(999)] + [
    Sample("create", 1.0, 0.001, 0.02, 201, 201, right=True)
]


def run(samples: list[Sample]) -> Run:
    return Run(samples, len(samples), len(samples), 5.0)


def steady(samples: list[Sample]) -> list[int]:
    return [at for at, one in enumerate(steady_verdicts(summarise(run(samples)))) if not one.met]


def test_a_crowd_is_as_large_as_asked_for_and_comes_within_a_second() -> None:
    found = crowd(300, 40, 7)
    assert found == crowd(300, 40, 7)
    kinds = [user.request.kind for user in found]
    assert (kinds.count("search"), kinds.count("create")) == (300, 40)
    assert {user.request.expected for user in found} == {200, 201}
    due = [user.due_s for user in found]
    assert due == sorted(due)
    assert due[-1] - due[0] < 1.0


def test_who_was_inside_at_a_moment() -> None:
    samples = [
        Sample("search", 1.0, 0.1, 1.5, 200),
        Sample("search", 1.95, 0.1, 1.0, 200),  # sent after it
        Sample("search", 0.0, 0.0, 2.0, 200),  # answered at it
        Sample("create", 0.5, 0.0, 2.0, 201),
    ]
    assert inside(run(samples), 2.0) == Held(1, 1)


def test_the_steady_rates_bars() -> None:
    assert steady(RIGHT) == []
    slow = replace(RIGHT[0], latency_s=0.15)
    assert steady(RIGHT[60:] + [slow] * 60) == [2]
    assert steady(RIGHT[20:] + [replace(slow, latency_s=0.25)] * 20) == [3]
    assert steady(RIGHT[2:] + [replace(RIGHT[0], right=False)] * 2) == [1]
    assert steady([replace(each, lag_s=0.2) for each in RIGHT]) == [0]


@pytest.mark.parametrize(
    ("bad", "held", "places"),
    [
        (RIGHT, Held(999, 1), []),
        (RIGHT, Held(998, 1), [1]),
        (RIGHT, Held(999, 0), [1]),
        ([*RIGHT, replace(RIGHT[0], status=500, right=False)], Held(999, 1), [2, 3]),
        ([*RIGHT, Sample("search", 1.0, 0.0, 9.0, 200, failure="time-out")], Held(999, 1), [2, 3]),
        ([*RIGHT, Sample("search", 1.0, 0.0, 0.1, 200, 503, reason="deadline")], Held(999, 1), [3]),
    ],
)
def test_the_crowds_bars(bad: list[Sample], held: Held, places: list[int]) -> None:
    bars = crowd_verdicts(summarise(run(bad)), held, 999, 1)
    assert [at for at, one in enumerate(bars) if not one.met] == places
