"""The charts' points: one row of numbers per second. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard import metrics
from guard.core.vocabulary import Lane, Reason
from guard.status.frames import ANSWERED, peak, tail
from guard.status.histogram import quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.status.frames import Frame, Span

Point = tuple[float | None, ...]

QUANTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
LATENCY_SPAN_S: Final = 10.0
"""A second holds too few requests for a 99th percentile."""
SHED_REASONS: Final = tuple(reason.value for reason in Reason if reason.sheds)
COLUMNS: Final = (
    "sequence", "admitted_per_s", "errors_per_s",
    *(f"shed_{reason}_per_s" for reason in SHED_REASONS),
    *(f"{lane.value}_{what}" for lane in Lane for what in ("in_use", "waiting")),
    *(f"latency_{name}_ms" for name in QUANTILES),
)  # fmt: skip
"""The names of a point's numbers."""


def point(sequence: int, frames: Sequence[Frame]) -> Point:
    """Return the point of the last frame.

    Args:
        sequence: its number.
        frames: ascending in time, at least one.
    """
    last = frames[-1]
    second = tail(frames[-2:], LATENCY_SPAN_S)
    seconds = second.seconds or 1.0
    shed = second.shed_by_reason()
    rates = [second.decided("admitted"), errors(second), *(shed.get(r, 0.0) for r in SHED_REASONS)]
    recent = tail(frames, LATENCY_SPAN_S)
    return (
        sequence,
        *(round(count / seconds, 2) for count in rates),
        *(gauge for lane in Lane for gauge in _pool(last, lane)),
        *latency_ms(recent).values(),
    )


def errors(span: Span) -> float:
    """Return the responses with a status of 500 or more that are no refusals."""
    every = span.added(metrics.HTTP_RESPONSES, "5xx")
    return max(0.0, every - span.decided("shed"))


def latency_ms(span: Span) -> dict[str, float | None]:
    """Return the quantiles of the admitted requests' latency, milliseconds."""
    counts = span.observed(metrics.HTTP_DURATION, ANSWERED)
    return quantiles_ms(metrics.HTTP_DURATION.buckets, counts)


def quantiles_ms(bounds: Sequence[float], counts: Sequence[float]) -> dict[str, float | None]:
    """Return a histogram's quantiles, milliseconds; None where it counted nothing."""
    found = {name: quantile(bounds, counts, share) for name, share in QUANTILES.items()}
    return {
        name: None if value is None else round(1000 * value, 2) for name, value in found.items()
    }


def in_use(now: Frame, lane: Lane) -> tuple[float, float]:
    """Return a lane's connections in use and asked for; permits where there is no pool of ours."""
    size_max = now.value(metrics.POOL_MAX, lane.value)
    if not size_max:
        return now.value(metrics.INFLIGHT, lane.value), now.value(metrics.LIMIT, lane.value)
    busy = now.value(metrics.POOL_CONNECTIONS, lane.value, "in_use")
    return busy, size_max


def peak_in_use(frames: Sequence[Frame], lane: Lane) -> int:
    """Return the largest number of a lane's connections in use, or of its permits held."""
    if frames[-1].value(metrics.POOL_MAX, lane.value):
        return round(peak(frames, metrics.POOL_CONNECTIONS, lane.value, "in_use"))
    return round(peak(frames, metrics.INFLIGHT, lane.value))


def working(now: Frame, lane: Lane) -> int:
    """Return a lane's working connections; permits where there is no pool of ours."""
    if not now.value(metrics.POOL_MAX, lane.value):
        return round(now.value(metrics.LIMIT, lane.value))
    states = (now.value(metrics.POOL_CONNECTIONS, lane.value, s) for s in metrics.POOL_STATES)
    return round(sum(states))


def _pool(now: Frame, lane: Lane) -> tuple[float, float]:
    return in_use(now, lane)[0], now.value(metrics.POOL_WAITERS, lane.value)
