"""Frames and spans, beside slow twins."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard import metrics
from guard.core.vocabulary import BreakerPhase, Lane
from guard.metrics import Sample
from guard.status.frames import Frame, Span, frame, peak, phase, tail, tail_of_requests

steps = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=40)


def made(counts: list[tuple[int, int]]) -> list[Frame]:
    """Return frames a second apart in which so many reads were admitted and shed."""
    found, admitted, shed = [], 0, 0
    for second, (more_admitted, more_shed) in enumerate(counts):
        admitted, shed = admitted + more_admitted, shed + more_shed
        samples = [
            Sample(metrics.DECISIONS_TOTAL, ("admitted", "ok", "read"), admitted),
            Sample(metrics.DECISIONS_TOTAL, ("shed", "deadline", "read"), shed),
            Sample(metrics.INFLIGHT, ("read",), more_admitted),
        ]
        found.append(frame(float(second), samples))
    return found


@given(steps, st.integers(1, 120))
def test_the_shortest_span_with_enough_requests(counts: list[tuple[int, int]], least: int) -> None:
    frames = made(counts)
    found = tail_of_requests(frames, Lane.READ, least)
    enough = [first for first in range(len(frames)) if sum(map(sum, counts[first + 1 :])) >= least]
    assert found == Span(frames[max(enough, default=0)], frames[-1])


@given(steps, st.integers(1, 50))
def test_the_tail_by_time(counts: list[tuple[int, int]], seconds: int) -> None:
    frames = made(counts)
    assert tail(frames, seconds).seconds == min(seconds, len(frames) - 1)


@given(steps)
def test_the_peak_of_a_gauge(counts: list[tuple[int, int]]) -> None:
    assert peak(made(counts), metrics.INFLIGHT, "read") == max(one for one, _ in counts)


def test_routes_and_codes_are_kept_together() -> None:
    counts = tuple(float(number) for number in range(len(metrics.REQUEST_BUCKETS_S) + 1))
    one = frame(
        1.0,
        [
            Sample(metrics.HTTP_DURATION, ("GET", "/a"), 2.5, counts),
            Sample(metrics.HTTP_DURATION, ("POST", "/b"), 0.5, counts),
            Sample(metrics.HTTP_RESPONSES, ("GET", "/a", "500"), 3.0),
            Sample(metrics.HTTP_RESPONSES, ("GET", "/b", "503"), 4.0),
            Sample(metrics.HTTP_RESPONSES, ("GET", "/b", "200"), 5.0),
            Sample(metrics.BATCH_SIZE, (), 1.0, (1.0,)),
        ],
    )
    assert one.value(metrics.HTTP_DURATION, "answered") == 3.0
    assert one.counts(metrics.HTTP_DURATION, "answered") == array("d", [2 * n for n in counts])
    assert one.value(metrics.HTTP_RESPONSES, "5xx") == 7.0


@pytest.mark.parametrize(
    ("workers", "expected"),
    [
        ({"closed": 2}, BreakerPhase.CLOSED),
        ({"closed": 2, "half-open": 1}, BreakerPhase.HALF_OPEN),
        ({"closed": 2, "half-open": 1, "open": 1}, BreakerPhase.OPEN),
        ({}, BreakerPhase.CLOSED),
    ],
)
def test_the_worst_phase_of_a_breaker(workers: dict[str, int], expected: BreakerPhase) -> None:
    samples = [Sample(metrics.BREAKER_STATE, ("read", p), n) for p, n in workers.items()]
    worst, by_phase = phase(frame(0.0, samples), Lane.READ)
    assert worst is expected
    assert by_phase == dict.fromkeys(BreakerPhase, 0) | workers


def test_a_span_without_requests_sheds_nothing() -> None:
    (one,) = made([(0, 0)])
    span = Span(one, one)
    assert (span.shed_ratio(), span.shed_by_reason(), span.hold_s(Lane.READ)) == (0.0, {}, None)
