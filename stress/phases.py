"""An outage as its clients saw it: when all were refused, how fast, when it was over. Pure."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from stress.arrivals import CREATE, LARGE, LOOK_UP, SEARCH, WITHOUT_DATABASE
from stress.result import percentiles

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from stress.result import Percentiles, Run, Sample

BREAKER_OPEN: Final = "breaker_open"
KINDS_OF_LANE: Final[Mapping[str, frozenset[str]]] = {
    "read": frozenset({SEARCH, LOOK_UP}),
    "write": frozenset({CREATE, LARGE}),
    "all": frozenset({SEARCH, LOOK_UP, CREATE, LARGE}),
}
"""The kinds of requests that use each lane's database."""
KEPT: Final = 0.95
"""Goodput is back where this share of what it was before is reached and kept."""

_WINDOW_S: Final = 1.0
_STEP_S: Final = 0.1
_SERVER_ERROR: Final = 500


class Span(NamedTuple):
    """From when to when, seconds from the run's beginning; the end is not part of it."""

    from_s: float
    to_s: float

    def has(self, at_s: float) -> bool:
        """Whether a moment is in it."""
        return self.from_s <= at_s < self.to_s


class Seen(NamedTuple):
    """What clients saw of an outage; NaN where it did not happen.

    Attributes:
        first_failure_s: from the fault to the end of the first request that failed, seconds.
        all_shed_s: from that failure, or from the fault where no request failed, until the last
            request was due that was not refused with ``breaker_open``, seconds, >= 0.
        early: latencies of the refusals in the outage before that, of the lanes that it hit.
        refusals: the same from then on, which is all that an open breaker answers.
        recovered_s: from the return until goodput was back for good, seconds.
    """

    first_failure_s: float
    all_shed_s: float
    early: Percentiles
    refusals: Percentiles
    recovered_s: float


def look_at(run: Run, outage: Span, kinds: Collection[str]) -> Seen:
    """Return what clients saw.

    Args:
        run: the run.
        outage: from the fault to the database's return.
        kinds: the kinds of requests that the fault hits.
    """
    hit = [sample for sample in run.samples if sample.kind in kinds]
    during = [sample for sample in hit if outage.has(sample.due_s)]
    failed_s = min((_end_s(one) for one in hit if _failed(one, outage)), default=math.nan)
    last_s = max((one.due_s for one in during if one.reason != BREAKER_OPEN), default=-math.inf)
    early = [one.latency_s for one in during if one.reason and one.due_s <= last_s]
    later = [one.latency_s for one in during if one.due_s > last_s]
    since_s = outage.from_s if math.isnan(failed_s) else failed_s
    return Seen(
        failed_s - outage.from_s,
        max(0.0, last_s - since_s) if later else math.nan,
        percentiles(early),
        percentiles(later),
        recovered_s(run.samples, outage),
    )


def _end_s(sample: Sample) -> float:
    return sample.due_s + sample.latency_s


def _failed(sample: Sample, outage: Span) -> bool:
    failed = bool(sample.failure) or (sample.status >= _SERVER_ERROR and not sample.reason)
    return failed and outage.has(_end_s(sample))


def recovered_s(samples: Sequence[Sample], outage: Span) -> float:
    """Return how long after its end goodput was back for good, seconds; NaN where it never was.

    Args:
        samples: the whole run's.
        outage: what it must recover from.
    """
    database = [sample for sample in samples if sample.kind not in WITHOUT_DATABASE]
    before = share_good([sample for sample in database if sample.due_s < outage.from_s])
    after = [sample for sample in database if sample.due_s >= outage.to_s]
    last_s = max((sample.due_s for sample in after), default=outage.to_s)
    steps = max(0, math.floor((last_s - _WINDOW_S - outage.to_s) / _STEP_S) + 1)
    for step in range(steps):
        from_s = outage.to_s + step * _STEP_S
        window = [one for one in after if Span(from_s, from_s + _WINDOW_S).has(one.due_s)]
        rest = [one for one in after if one.due_s >= from_s]
        if min(share_good(window), share_good(rest)) >= KEPT * before:
            return from_s - outage.to_s
    return math.nan


def share_good(samples: Sequence[Sample]) -> float:
    """Return which share was answered right and in time; 0 where there are none."""
    return sum(sample.good for sample in samples) / len(samples) if samples else 0.0


def part(run: Run, span: Span) -> Run:
    """Return the requests of a run that were due in a span, as a run of their own."""
    samples = [sample for sample in run.samples if span.has(sample.due_s)]
    return replace(
        run, samples=samples, sent=len(samples), seconds=max(_STEP_S, span.to_s - span.from_s),
        from_s=span.from_s,
    )  # fmt: skip
