"""One second of the board in a fixed number of numbers, and what passed between two of them. Pure.

A frame is an ``array`` of doubles, about 2.6 kB, so that 15 minutes of them stay under 3 MB
however many routes and workers there are.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple

from guard import metrics
from guard.core.vocabulary import BreakerPhase, Lane, Reason
from guard.metrics import DECISIONS, QUEUES, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from guard.metrics import Metric, Sample

Key = tuple["Metric", tuple[str, ...]]

_KEPT: Final = (
    metrics.DECISIONS_TOTAL, metrics.INFLIGHT, metrics.LIMIT, metrics.QUEUE_DEPTH,
    metrics.QUEUE_CAPACITY, metrics.QUEUE_WAIT, metrics.POOL_CONNECTIONS, metrics.POOL_MAX,
    metrics.POOL_WAITERS,
    metrics.ACQUIRE_WAIT, metrics.POOL_USE, metrics.DB_ERRORS, metrics.LOCK_WAITERS,
    metrics.LOCK_WAIT_OLDEST, metrics.BREAKER_STATE, metrics.BREAKER_TRANSITIONS,
    metrics.BREAKER_PROBE_DUE, metrics.WORKERS, metrics.WORKER_READY,
)  # fmt: skip
"""Metrics of which every known label set is kept."""
_APART: Final = frozenset({"bypassed", "dropped"})
"""Decisions that were no choice between admitting and refusing."""
ANSWERED: Final = "answered"
"""The label under which all routes' latencies are kept together."""


def _columns() -> tuple[dict[Key, int], int]:
    places: dict[Key, int] = {}
    used = 0
    for metric in _KEPT:
        for labels in metric.known_label_sets():
            places[metric, labels] = used
            used += _width(metric)
    places[metrics.HTTP_DURATION, (ANSWERED,)] = used
    used += _width(metrics.HTTP_DURATION)
    places[metrics.HTTP_RESPONSES, ("5xx",)] = used
    return places, used + 1


def _width(metric: Metric) -> int:
    return len(metric.buckets) + 2 if metric.kind is Kind.HISTOGRAM else 1


_PLACES, _WIDTH = _columns()
_HTTP_AT: Final = _PLACES[metrics.HTTP_DURATION, (ANSWERED,)]
_ERRORS_AT: Final = _PLACES[metrics.HTTP_RESPONSES, ("5xx",)]


class Frame(NamedTuple):
    """The totals at one moment.

    Attributes:
        at_s: the moment, monotonic.
        values: the numbers; look them up with ``value`` and ``counts``.
    """

    at_s: float
    values: array[float]

    def value(self, metric: Metric, *labels: str) -> float:
        """Return a counter's or gauge's value; of a histogram the sum of what it observed."""
        return self.values[_PLACES[metric, labels]]

    def counts(self, metric: Metric, *labels: str) -> array[float]:
        """Return a histogram's observations per bucket."""
        at = _PLACES[metric, labels] + 1
        return self.values[at : at + len(metric.buckets) + 1]


def frame(at_s: float, samples: Iterable[Sample]) -> Frame:
    """Return the frame of what a board collected."""
    values = array("d", bytes(8 * _WIDTH))
    for metric, labels, value, counts in samples:
        if metric is metrics.HTTP_DURATION:
            values[_HTTP_AT] += value
            for step, count in enumerate(counts, _HTTP_AT + 1):
                values[step] += count
        elif metric is metrics.HTTP_RESPONSES:
            # A refusal is a 503 too; it is told apart by the decisions.
            if labels[2].startswith("5"):
                values[_ERRORS_AT] += value
        else:
            at = _PLACES.get((metric, labels))
            if at is not None:
                values[at] = value
                values[at + 1 : at + 1 + len(counts)] = array("d", counts)
    return Frame(at_s, values)


class Span(NamedTuple):
    """What passed between two frames; the first is the older one."""

    first: Frame
    last: Frame

    @property
    def seconds(self) -> float:
        """The time between them, seconds, >= 0."""
        return self.last.at_s - self.first.at_s

    def added(self, metric: Metric, *labels: str) -> float:
        """Return what a counter, or a histogram's sum, has grown by."""
        return max(0.0, self.last.value(metric, *labels) - self.first.value(metric, *labels))

    def observed(self, metric: Metric, *labels: str) -> list[float]:
        """Return a histogram's observations per bucket in the span."""
        pairs = zip(
            self.last.counts(metric, *labels), self.first.counts(metric, *labels), strict=True
        )
        return [max(0.0, new - old) for new, old in pairs]

    def decided(self, decision: str, lane: Lane | None = None, reason: str | None = None) -> float:
        """Return how many requests were decided so, of one lane and reason or of all."""
        lanes = Lane if lane is None else (lane,)
        reasons = [each.value for each in Reason] if reason is None else (reason,)
        return sum(
            self.added(metrics.DECISIONS_TOTAL, decision, why, one.value)
            for one in lanes
            for why in reasons
        )

    def shed_by_reason(self, lane: Lane | None = None) -> dict[str, float]:
        """Return the refusals by reason, the most frequent first, without those that are 0."""
        found = {
            reason.value: self.decided("shed", lane, reason.value)
            for reason in Reason
            if reason.sheds
        }
        ordered = sorted(found.items(), key=lambda pair: -pair[1])
        return {reason: count for reason, count in ordered if count > 0}

    def waits(self, lane: Lane) -> list[float]:
        """Return the waits for a connection per bucket, ended by a connection or a time-out."""
        got = self.observed(metrics.ACQUIRE_WAIT, lane.value, "ok")
        missed = self.observed(metrics.ACQUIRE_WAIT, lane.value, "timeout")
        return [sum(pair) for pair in zip(got, missed, strict=True)]

    def hold_s(self, lane: Lane) -> float | None:
        """Return the mean time for which a connection was held; None where none was."""
        held_s, count = 0.0, 0.0
        for outcome in metrics.OUTCOMES:
            held_s += self.added(metrics.POOL_USE, lane.value, outcome)
            count += sum(self.observed(metrics.POOL_USE, lane.value, outcome))
        return held_s / count if count else None

    def shed_ratio(self, lane: Lane | None = None) -> float:
        """Return the share of the requests in question that was shed, 0 to 1.

        Exempt requests and those whose clients had gone are not in question.
        """
        counts = [self.decided(word, lane) for word in DECISIONS if word not in _APART]
        shed = self.decided("shed", lane)
        return shed / sum(counts) if shed else 0.0


def tail(frames: Sequence[Frame], seconds: float) -> Span:
    """Return the span of about the last ``seconds``; shorter where there are fewer frames.

    Args:
        frames: ascending in time, at least one.
        seconds: > 0.
    """
    last = frames[-1]
    first = last
    for each in reversed(frames):
        # Half a second of grace: frames come once a second, and not to the millisecond.
        if last.at_s - each.at_s > seconds + 0.5:
            break
        first = each
    return Span(first, last)


def tail_of_requests(frames: Sequence[Frame], lane: Lane, least: int) -> Span:
    """Return the shortest span up to now with at least ``least`` requests of the lane, or all."""
    last = frames[-1]

    def passed(first: Frame) -> int:
        span = Span(first, last)
        return round(span.decided("admitted", lane) + span.decided("shed", lane))

    # The requests since a frame become fewer from frame to frame.
    too_few = bisect_right(frames, -least, key=lambda first: -passed(first))
    return Span(frames[max(0, too_few - 1)], last)


def peak(frames: Sequence[Frame], metric: Metric, *labels: str) -> float:
    """Return the largest value of a gauge in some frames, at least one."""
    at = _PLACES[metric, labels]
    return max(frame.values[at] for frame in frames)


def phase(now: Frame, lane: Lane) -> tuple[BreakerPhase, dict[str, int]]:
    """Return a lane's breaker: the worst phase that any worker sees, and the workers by phase."""
    found = {
        each.value: round(now.value(metrics.BREAKER_STATE, lane.value, each.value))
        for each in BreakerPhase
    }
    order = (BreakerPhase.OPEN, BreakerPhase.HALF_OPEN, BreakerPhase.RECOVERING)
    worst = next((each for each in order if found[each.value]), BreakerPhase.CLOSED)
    return worst, found


def queues(now: Frame) -> dict[str, tuple[float, float]]:
    """Return depth and capacity of each queue that is known."""
    return {
        queue: (now.value(metrics.QUEUE_DEPTH, queue), now.value(metrics.QUEUE_CAPACITY, queue))
        for queue in QUEUES
    }
