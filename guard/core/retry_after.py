"""When a shed client shall come back.

Obedient clients return *exactly* when they are told, so the spread is the server's work: the
answer is drawn, uniformly, from a horizon that depends on the reason. Always a whole number of
seconds: common clients raise on a fraction and return at once on 0.
"""

from __future__ import annotations

from math import ceil

from guard.core.vocabulary import Reason

_OUTAGES = frozenset({Reason.BREAKER_OPEN})
SATURATION_SHARE = 5
"""A saturated pool drains in moments: its horizon is this part of the longest one."""


def retry_after_s(
    reason: Reason, draw: float, low_s: int, high_s: int, outage_left_s: float = 0.0
) -> int:
    """Return whole seconds in ``[low_s, high_s]``.

    Args:
        reason: why the request was shed.
        draw: a uniform random number in ``[0, 1)``.
        low_s: smallest answer, >= 1.
        high_s: largest answer, >= ``low_s``.
        outage_left_s: for an open breaker, the time until the next probe; nobody is asked
            back before it.
    """
    if reason in _OUTAGES:
        first = min(high_s, max(low_s, ceil(outage_left_s) + 1))
        last = high_s
    else:
        first = low_s
        last = max(low_s, ceil(high_s / SATURATION_SHARE))
    return first + int(draw * (last - first + 1))
