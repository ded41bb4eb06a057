"""What a request's own headers say about time. Pure.

Both come from somebody else's clock or wish, so nothing here can raise, and nothing can make a
request live longer than the operator allows.
"""

from __future__ import annotations

import re
from typing import Final

AGE_MAX_S: Final = 60.0
"""An older ``X-Request-Start`` tells of a clock that is wrong, not of a queue."""

_WHOLE_MS: Final = re.compile(r"[ \t]*([+-]?)([0-9]{1,15})[ \t]*")
_START: Final = re.compile(r"[ \t]*(?:t=)?([0-9]{1,20}(?:\.[0-9]{1,9})?)[ \t]*")
# A time since 1970 in seconds has ten digits, and each smaller unit three more: the magnitude
# tells the unit for every year from 1973 to 5138.
_UNITS: Final = ((1e11, 1.0), (1e14, 1e-3), (1e17, 1e-6))


def allowed_s(text: str, most_s: float) -> float:
    """Return within what time of its arrival a request wants its answer, seconds.

    Args:
        text: the header's value, whole milliseconds. 0 and less mean that it is too late
            already. What is no whole number says nothing: the request is treated as one without
            the header, since a client's mistake is no reason to fail what could be served.
        most_s: what the operator allows; it is never exceeded.
    """
    found = _WHOLE_MS.fullmatch(text)
    if found is None:
        return most_s
    sign, digits = found.groups()
    return 0.0 if sign == "-" else min(int(digits) / 1000, most_s)


def started_s(text: str) -> float | None:
    """Return the wall-clock time that ``X-Request-Start`` tells, seconds since 1970.

    Takes ``t=`` and a number, or the number alone, in seconds (nginx, with a fraction),
    milliseconds (Heroku), microseconds (Apache) or nanoseconds. None where it is anything else.
    """
    found = _START.fullmatch(text)
    if found is None:
        return None
    value = float(found[1])
    return next((value * unit for below, unit in _UNITS if value < below), value * 1e-9)


def age_s(text: str, wall_now_s: float) -> float:
    """Return how long ago a proxy says that it took the request, seconds, in [0, AGE_MAX_S].

    0 where it says nothing that can be read, where its clock is ahead of ours, and where the
    age would be over ``AGE_MAX_S``.

    Args:
        text: the value of ``X-Request-Start``.
        wall_now_s: our wall clock, seconds since 1970.
    """
    at_s = started_s(text)
    found_s = 0.0 if at_s is None else wall_now_s - at_s
    return found_s if 0.0 <= found_s <= AGE_MAX_S else 0.0
