"""The words in which every backend's table of errors is written."""

from __future__ import annotations

from typing import Final, NamedTuple

from guard.core.vocabulary import Outcome
from guard.errors import (
    BackendBusy,
    BackendClosed,
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


class Row(NamedTuple):
    """One row of a table of errors.

    Attributes:
        sign: what the error is known by: a SQLSTATE or its beginning, or part of a message.
        verdict: what it says.
        meaning: what has happened, for people.
    """

    sign: str
    verdict: Verdict
    meaning: str


class Told(NamedTuple):
    """One row of a table in the docs.

    Attributes:
        sign: what the error is known by, as the page shows it.
        meaning: what has happened.
        verdict: what it says.
        gets: an example of what the caller gets; None for the driver's own exception.
    """

    sign: str
    meaning: str
    verdict: Verdict
    gets: BaseException | None


UNREACHABLE = Verdict(Outcome.FAILURE, "unreachable")
RESOURCES = Verdict(Outcome.FAILURE, "resources")
SICK = Verdict(Outcome.FAILURE, "internal")
CONFLICT = Verdict(Outcome.NEUTRAL, "conflict")
TIMEOUT = Verdict(Outcome.NEUTRAL, "timeout")
BUSY = Verdict(Outcome.NEUTRAL, "busy")
SESSION_LIMIT = Verdict(Outcome.NEUTRAL, "resources")
NOT_OURS = Verdict(Outcome.NEUTRAL, "internal")
STATEMENT = Verdict(Outcome.OK, "statement")
CONSTRAINT = Verdict(Outcome.OK, "constraint")
READ_ONLY = Verdict(Outcome.OK, "read_only")

OURS: Final[tuple[tuple[type[BaseException], Verdict], ...]] = (
    (BackendBusy, BUSY),
    (BackendClosed, BUSY),
    (StatementTimeout, TIMEOUT),
    (ReadOnlyViolation, READ_ONLY),
    (ConstraintViolation, CONSTRAINT),
    (ResultTooLarge, STATEMENT),
)
"""Of Guard's own errors but ``BackendFailed``, which says what its cause says."""

_ANSWERED = frozenset({"statement", "constraint", "conflict"})


def answered(verdict: Verdict) -> bool:
    """Return whether a probe that met this error has found a database at work.

    A role that may not do what the probe does, or another's lock, is no sick database.
    """
    return verdict.kind in _ANSWERED


def anything(part: str) -> str:
    """Return how the docs show a part of a message; an empty one fits every message."""
    return f"`{part}`" if part else "anything else"
