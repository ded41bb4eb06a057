"""Virtual users: what each sends, and whether the answer was right.

An answer is judged when the run is over, from its bytes; only a create's is looked at during
the run, since its user goes on to look up what was created.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from stress.arrivals import CREATE
from stress.open_loop import fire
from stress.payloads import CREATED, Payloads, Request, look_up
from stress.result import Run, Sample
from stress.shots import Shot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stress.arrivals import Arrival
    from stress.response import Response
    from stress.shots import Outcome, Target

TIMEOUT_S = 10.0
"""A request without its whole answer after this long has failed, seconds."""

_SHED = 503


class User(NamedTuple):
    """One virtual user.

    Attributes:
        due_s: when it arrives, seconds from the beginning.
        request: what it sends.
        think_s: how long after the answer it looks up what it created, seconds.
    """

    due_s: float
    request: Request
    think_s: float


def users(arrivals: Sequence[Arrival], seed: int) -> list[User]:
    """Return the users of a schedule; the same seed makes the same ones."""
    payloads = Payloads(seed)
    return [
        User(arrival.due_s, payloads.request(arrival.kind), payloads.think_s())
        for arrival in arrivals
    ]


def generate(
    target: Target, arriving: Sequence[User], seconds: float, *, timeout_s: float = TIMEOUT_S
) -> Run:
    """Let the users arrive and return what became of them; Ctrl-C ends the run early.

    Args:
        target: where the service is.
        arriving: the users, by due time.
        seconds: the schedule's length, for the rates, > 0.
        timeout_s: bounds each request, connecting included, > 0.

    Raises:
        NotLoopbackError: the target is elsewhere.
    """
    host = f"{target.host}:{target.port}"

    def follow(outcome: Outcome) -> Shot | None:
        request, think_s = outcome.shot.what
        if request.kind != CREATE or outcome.response is None:
            return None
        created = _created(request, outcome.response)
        if created is None:
            return None
        found = look_up(created)
        due_s = outcome.shot.due_s + outcome.latency_s + think_s
        return Shot(due_s, wire(found, host), (found, 0.0))

    shots = [
        Shot(user.due_s, wire(user.request, host), (user.request, user.think_s))
        for user in arriving
    ]
    volley = fire(target, shots, timeout_s=timeout_s, follow=follow)
    return Run(
        [_sample(outcome) for outcome in volley.outcomes],
        volley.sent,
        len(arriving),
        seconds,
        volley.interrupted,
        volley.cpu_s,
        volley.took_s,
        volley.begun_s,
    )


def _created(request: Request, response: Response) -> dict[str, object] | None:
    if response.status != CREATED or not _is_right(request, response):
        return None
    return _json(response)


def _is_right(request: Request, response: Response) -> bool:
    return request.is_right(response.status, response.header("Location"), response.body)


def _sample(outcome: Outcome) -> Sample:
    request: Request = outcome.shot.what[0]
    response = outcome.response
    due_s, lag_s, latency_s = outcome.shot.due_s, outcome.lag_s, outcome.latency_s
    if response is None:
        return Sample(
            request.kind, due_s, lag_s, latency_s, request.expected, failure=outcome.failure
        )
    stored = _json(response) if response.status == CREATED else None
    return Sample(
        request.kind,
        due_s,
        lag_s,
        latency_s,
        request.expected,
        status=response.status,
        right=_is_right(request, response),
        reason=_refusal(response),
        acknowledged=stored,
        submitted=request.fields if stored else None,
    )


def wire(request: Request, host: str) -> bytes:
    """Return a request's bytes for a host, given as ``host:port``."""
    head = f"{request.method} {request.target} HTTP/1.1\r\nHost: {host}\r\n"
    if request.body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(request.body)}\r\n"
    return head.encode("ascii") + b"\r\n" + request.body


def _json(response: Response) -> dict[str, object] | None:
    try:
        found = json.loads(response.body)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _refusal(response: Response) -> str:
    if response.status != _SHED:
        return ""
    if not response.header("Content-Type").startswith("application/problem+json"):
        return ""
    return str((_json(response) or {}).get("reason") or "")
