"""Quantiles and shares of what a histogram counted. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def quantile(bounds: Sequence[float], counts: Sequence[float], share: float) -> float | None:
    """Return the value that ``share`` of the observations do not exceed; None where there are none.

    Within a bucket the observations are taken to lie evenly, as Prometheus' ``histogram_quantile``
    does; what is beyond the last bound is told as that bound.

    Args:
        bounds: upper bounds, ascending, without +Inf.
        counts: observations per bucket, not cumulative, one more than ``bounds``.
        share: 0 to 1.
    """
    total = sum(counts)
    if total <= 0:
        return None
    rank, below, low = share * total, 0.0, 0.0
    for bound, count in zip(bounds, counts, strict=False):
        if count > 0 and below + count >= rank:
            return low + (bound - low) * max(0.0, rank - below) / count
        below += count
        low = bound
    return bounds[-1]


def count_over(bounds: Sequence[float], counts: Sequence[float], value: float) -> float:
    """Return how many observations are larger than ``value`` (>= 0).

    Within a bucket they are taken to lie evenly. Beyond the last bound nothing is known: for a
    value there, all observations of the last bucket count as larger.
    """
    above = sum(counts)
    low = 0.0
    for bound, count in zip(bounds, counts, strict=False):
        if value < bound:
            return above - count * (value - low) / (bound - low)
        above -= count
        low = bound
    return above
