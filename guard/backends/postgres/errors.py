"""What an error says: about the database's health, about its kind, and to the caller.

psycopg gives no SQLSTATE at connect time and on a lost connection, so the SQLSTATE is asked
first and the type after it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import psycopg
from psycopg_pool import PoolTimeout, TooManyRequests

from guard.core.vocabulary import Lane, Outcome
from guard.errors import (
    BackendBusy,
    BackendClosed,
    BackendError,
    BackendFailed,
    ConstraintViolation,
    ReadOnlyViolation,
    ResultTooLarge,
    StatementTimeout,
)


class Verdict(NamedTuple):
    """What an error says.

    Attributes:
        outcome: about the database's health.
        kind: one of ``guard.metrics.ERROR_KINDS``.
    """

    outcome: Outcome
    kind: str


RETRYABLE: Final = frozenset({"40001", "40P01"})
"""Lost races: serialization failure and deadlock; nothing was kept."""

_UNREACHABLE = Verdict(Outcome.FAILURE, "unreachable")
_RESOURCES = Verdict(Outcome.FAILURE, "resources")
_CONFLICT = Verdict(Outcome.NEUTRAL, "conflict")
_TIMEOUT = Verdict(Outcome.NEUTRAL, "timeout")
_BUSY = Verdict(Outcome.NEUTRAL, "busy")
_STATEMENT = Verdict(Outcome.OK, "statement")
_CONSTRAINT = Verdict(Outcome.OK, "constraint")
_READ_ONLY = Verdict(Outcome.OK, "read_only")

# The longest prefix of the SQLSTATE wins. What is not named is the statement's own fault.
_BY_STATE: Final[dict[str, Verdict]] = {
    "08": _UNREACHABLE,
    "23": _CONSTRAINT,
    "25006": _READ_ONLY,
    "25P03": _TIMEOUT,
    "25P04": _TIMEOUT,
    "40": _CONFLICT,
    "53": _RESOURCES,
    "55P03": _CONFLICT,
    "57014": _TIMEOUT,
    "57P": _UNREACHABLE,
    "58": _RESOURCES,
    "XX": Verdict(Outcome.NEUTRAL, "internal"),
    "XX001": Verdict(Outcome.FAILURE, "internal"),
    "XX002": Verdict(Outcome.FAILURE, "internal"),
}

_BY_TYPE: Final[tuple[tuple[type[BaseException], Verdict], ...]] = (
    (BackendBusy, _BUSY),
    (BackendClosed, _BUSY),
    (StatementTimeout, _TIMEOUT),
    (ReadOnlyViolation, _READ_ONLY),
    (ConstraintViolation, _CONSTRAINT),
    (ResultTooLarge, _STATEMENT),
    (PoolTimeout, _BUSY),
    (TooManyRequests, _BUSY),
    (psycopg.OperationalError, _UNREACHABLE),
    (psycopg.Error, _STATEMENT),
)
_NOT_OURS = Verdict(Outcome.NEUTRAL, "internal")


def judge(error: BaseException) -> Verdict:
    """Return what ``error`` says; an exception of the application's own says nothing."""
    if isinstance(error, BackendFailed):
        cause = error.__cause__
        kind = judge(cause).kind if isinstance(cause, psycopg.Error) else "unreachable"
        return Verdict(Outcome.FAILURE, kind)
    if isinstance(error, psycopg.Error) and error.sqlstate:
        return _by_state(error.sqlstate, str(error))
    for kind_of_error, verdict in _BY_TYPE:
        if isinstance(error, kind_of_error):
            return verdict
    return _NOT_OURS


def _by_state(state: str, message: str) -> Verdict:
    if state == "08P01" and "query_wait_timeout" in message:
        return _BUSY  # a connection pooler in front of the server had no connection free
    for length in (5, 3, 2):
        verdict = _BY_STATE.get(state[:length])
        if verdict is not None:
            return verdict
    return _STATEMENT


def translate(error: psycopg.Error, lane: Lane) -> BackendError | None:
    """Return what the caller should get for a driver's error; None: the error itself."""
    verdict = judge(error)
    text = one_line(error)
    if verdict.kind == "timeout":
        return StatementTimeout(text)
    if verdict.kind == "busy":
        return BackendBusy(text)
    if verdict is _READ_ONLY:
        if lane is Lane.READ:
            return ReadOnlyViolation(text)
        return BackendFailed(f"the write host takes no writes: {text}")
    return BackendFailed(text) if verdict.outcome is Outcome.FAILURE else None


def one_line(error: BaseException) -> str:
    """Return an error's message as one line."""
    return " ".join(str(error).split()) or type(error).__name__
