"""Virtual users: what each sends, and whether the answer was right.

An answer is judged when the run is over, from its bytes; only a create's is looked at during
the run, since its user goes on to look up what was created.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

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
        source: the loopback address that it comes from; empty for one that users share.
    """

    due_s: float
    request: Request
    think_s: float
    source: str = ""


class Retry(NamedTuple):
    """What clients do when they were refused.

    Attributes:
        tries: how often a request is sent at most, >= 1.
        obeys: wait exactly as long as ``Retry-After`` says, and give up where nothing is said;
            otherwise send again at once, also after no answer at all.
    """

    tries: int
    obeys: bool

    def wait_s(self, attempt: int, response: Response | None) -> float | None:
        """Return after how many seconds a request is sent again; None where it is not.

        Args:
            attempt: how often it was sent.
            response: the last answer; None where there was none.
        """
        if attempt >= self.tries or (response is not None and not _refusal(response)):
            return None
        if not self.obeys:
            return 0.0
        told = response.header("Retry-After") if response is not None else ""
        return float(told) if told else None


class _Sent(NamedTuple):
    """A request under way: whose, the how-manieth time, and the cookie that it brings."""

    user: User
    attempt: int = 1
    cookie: str = ""


ONCE: Final = Retry(1, obeys=True)
"""Nothing is sent a second time."""


def users(arrivals: Sequence[Arrival], seed: int) -> list[User]:
    """Return the users of a schedule; the same seed makes the same ones."""
    payloads = Payloads(seed)
    return [
        User(arrival.due_s, payloads.request(arrival.kind), payloads.think_s())
        for arrival in arrivals
    ]


def generate(
    target: Target,
    arriving: Sequence[User],
    seconds: float,
    *,
    timeout_s: float = TIMEOUT_S,
    retry: Retry = ONCE,
) -> Run:
    """Let the users arrive and return what became of them; Ctrl-C ends the run early.

    Args:
        target: where the service is.
        arriving: the users, by due time.
        seconds: the schedule's length, for the rates, > 0.
        timeout_s: bounds each request, connecting included, > 0.
        retry: what refused clients do.

    Raises:
        NotLoopbackError: the target is elsewhere.
    """
    host = f"{target.host}:{target.port}"

    def follow(outcome: Outcome) -> Shot | None:
        sent: _Sent = outcome.shot.what
        ended_s = outcome.shot.due_s + outcome.latency_s
        created = _created(sent.user.request, outcome.response)
        if created is not None:
            user = sent.user._replace(
                due_s=ended_s + sent.user.think_s, request=look_up(created), think_s=0.0
            )
            return _shot(_Sent(user, cookie=_cookie(outcome.response)), user.due_s, host)
        wait_s = retry.wait_s(sent.attempt, outcome.response)
        if wait_s is None:
            return None
        # A kept connection may end just when a client comes back on it; that is his mishap alone.
        again = _shot(sent._replace(attempt=sent.attempt + 1), ended_s + wait_s, host)
        return again._replace(fresh=True)

    shots = [_shot(_Sent(user), user.due_s, host) for user in arriving]
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


def _shot(sent: _Sent, due_s: float, host: str) -> Shot:
    return Shot(due_s, wire(sent.user.request, host, sent.cookie), sent, sent.user.source)


def _created(request: Request, response: Response | None) -> dict[str, object] | None:
    if response is None or response.status != CREATED or not _is_right(request, response):
        return None
    return _json(response)


def _cookie(response: Response | None) -> str:
    # As a browser would bring it: the service may tell in it what its user has written.
    return response.header("Set-Cookie").partition(";")[0] if response is not None else ""


def _is_right(request: Request, response: Response) -> bool:
    return request.is_right(response.status, response.header("Location"), response.body)


def _sample(outcome: Outcome) -> Sample:
    sent: _Sent = outcome.shot.what
    request, response = sent.user.request, outcome.response
    sample = Sample(
        request.kind,
        outcome.shot.due_s,
        outcome.lag_s,
        outcome.latency_s,
        request.expected,
        failure=outcome.failure,
        source=sent.user.source,
        attempt=sent.attempt,
    )
    if response is None:
        return sample
    stored = _json(response) if response.status == CREATED else None
    return replace(
        sample,
        status=response.status,
        right=_is_right(request, response),
        reason=_refusal(response),
        acknowledged=stored,
        submitted=request.fields if stored else None,
    )


def wire(request: Request, host: str, cookie: str = "") -> bytes:
    """Return a request's bytes for a host, given as ``host:port``."""
    head = f"{request.method} {request.target} HTTP/1.1\r\nHost: {host}\r\n"
    if cookie:
        head += f"Cookie: {cookie}\r\n"
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
