"""Clients that honour Retry-After, open loop: fresh requests come when due, whatever happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stress.open_loop import fire
from stress.shots import Shot
from stress.stampede_plan import Try

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stress.shots import Outcome, Target

TIMEOUT_S: Final = 10.0
_WIRE: Final = b"GET /work HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_OK: Final = 200


def send(target: Target, arrivals: Sequence[float], tries: int) -> tuple[list[Try], list[float]]:
    """Send each request up to some times, each time exactly when the last refusal said.

    A client that gets no answer at all has not been told when to come back.

    Args:
        target: where the service is.
        arrivals: when each request is due, seconds from now.
        tries: how often a request is sent at most, >= 1.

    Returns:
        Every try, in the order in which they ended, and how late each was sent, seconds.

    Raises:
        NotLoopbackError: the target is elsewhere.
    """

    def come_back(outcome: Outcome) -> Shot | None:
        request, number = outcome.shot.what
        told_s = _told_s(outcome)
        if not told_s or number >= tries:
            return None
        due_s = outcome.shot.due_s + outcome.latency_s + told_s
        return Shot(due_s, _WIRE, (request, number + 1))

    shots = [Shot(due_s, _WIRE, (request, 1)) for request, due_s in enumerate(arrivals)]
    volley = fire(target, shots, timeout_s=TIMEOUT_S, follow=come_back)
    return [_try(one) for one in volley.outcomes], [one.lag_s for one in volley.outcomes]


def _told_s(outcome: Outcome) -> int:
    text = outcome.response.header("Retry-After") if outcome.response else ""
    return int(text) if text else 0


def _try(outcome: Outcome) -> Try:
    request, number = outcome.shot.what
    served = outcome.response is not None and outcome.response.status == _OK
    at_s = outcome.shot.due_s + outcome.lag_s
    return Try(request, number, at_s, served, _told_s(outcome))
