"""The refusal as a problem document (RFC 9457), and every other GuardError as a response."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from guard.core.vocabulary import Reason
from guard.errors import (
    BackendBusy,
    BackendClosed,
    BackendFailed,
    ClientGone,
    ConstraintViolation,
    GuardError,
    Shed,
    StatementTimeout,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTENT_TYPE = "application/problem+json"

DETAILS: Mapping[Reason, str] = {
    Reason.POOL_SATURATED: "This lane's database connections are in use and its queue is full.",
    Reason.THREADS_EXHAUSTED: "Too many requests of this lane are being answered at this moment.",
    Reason.QUEUE_DELAY: "The request waited too long in front of the application.",
    Reason.LOW_PRIORITY: "What is left of this lane is kept for requests of a higher class.",
    Reason.UNFAIR_SHARE: "This lane is short, and this client already has its fair share of it.",
    Reason.BREAKER_OPEN: "The database is failing; it is being probed until it is back.",
    Reason.DEADLINE: "The answer could not have been given before the request's deadline.",
    Reason.DRAINING: "This worker is shutting down.",
    Reason.STARTING: "The database is not open yet.",
    Reason.CLIENT_GONE: "The client closed its connection while the request waited.",
}
"""What each reason means to a client; the docs' table is made from it."""


class Response(NamedTuple):
    """A whole HTTP response.

    Attributes:
        status: the status code.
        headers: name and value pairs.
        body: the body's bytes.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


_TITLES = {
    200: "OK",
    499: "Client Closed Request",
    500: "Internal Server Error",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    409: "Conflict",
}


def status_line(status: int) -> str:
    """Return ``"503 Service Unavailable"`` for 503."""
    return f"{status} {_TITLES[status]}"


def _refusal_body(reason: Reason, retry_after_s: int, type_uri: str) -> bytes:
    document = {
        "type": type_uri,
        "title": _TITLES[503],
        "status": 503,
        "detail": DETAILS[reason] + " Nothing was executed; the request can be sent again.",
        "reason": reason.value,
        "retry_after": retry_after_s,
        "processed": False,
    }
    return json.dumps(document).encode()


@lru_cache(maxsize=512)
def refusal(reason: Reason, retry_after_s: int, type_uri: str = "about:blank") -> Response:
    """Return the fast 503: nothing was executed, come back in ``retry_after_s`` seconds.

    Built once per reason and second.
    """
    body = _refusal_body(reason, retry_after_s, type_uri)
    headers = (
        ("Content-Type", CONTENT_TYPE),
        ("Content-Length", str(len(body))),
        ("Retry-After", str(retry_after_s)),
        ("Cache-Control", "no-store"),
    )
    return Response(503, headers, body)


@lru_cache(maxsize=1)
def dropped(type_uri: str = "about:blank") -> Response:
    """Return what a client would get that has gone: nothing was executed.

    Only one that has closed just its sending half ever reads it. 499 is nginx's number for the
    same, and stands in the metrics.
    """
    reason = Reason.CLIENT_GONE
    detail = DETAILS[reason] + " Nothing was executed; the request can be sent again."
    return _response(499, type_uri, detail, reason=reason.value, processed=False)


# In a request that has already executed something no 503 may promise the contrary, and no
# Retry-After may invite a client to send it again.
_ERRORS: tuple[tuple[type[GuardError], int, str], ...] = (
    (BackendBusy, 503, "The database was busy; part of the request was already executed."),
    (BackendClosed, 503, "The database is not open."),
    (StatementTimeout, 504, "The database took too long; the statement was cancelled."),
    (BackendFailed, 503, "The database failed; whether a write took effect may be unknown."),
    (ConstraintViolation, 409, "The data conflicts with what is stored."),
)


def response_for(error: GuardError, type_uri: str = "about:blank") -> Response:
    """Return the response for any GuardError: the refusal for ``Shed``, else a plain problem.

    The other errors carry ``processed: true`` (the request was begun) and no Retry-After.
    """
    if isinstance(error, Shed):
        return refusal(error.reason, error.retry_after_s, type_uri)
    if isinstance(error, ClientGone):
        return dropped(type_uri)
    status, detail = 500, "The request failed."
    for kind, kind_status, kind_detail in _ERRORS:
        if isinstance(error, kind):
            status, detail = kind_status, kind_detail
            break
    return _response(status, "about:blank", detail, processed=True)


def _response(status: int, type_uri: str, detail: str, **more: object) -> Response:
    document = {"type": type_uri, "title": _TITLES[status], "status": status, "detail": detail}
    body = json.dumps({**document, **more}).encode()
    headers = (
        ("Content-Type", CONTENT_TYPE),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
    )
    return Response(status, headers, body)
