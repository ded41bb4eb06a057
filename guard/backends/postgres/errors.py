"""What an error says: about the database's health, about its kind, and to the caller.

psycopg gives no SQLSTATE at connect time and on a lost connection, so the SQLSTATE is asked
first and the type after it.
"""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg_pool import PoolTimeout, TooManyRequests

from guard.backends.verdict import (
    BUSY,
    CONFLICT,
    CONSTRAINT,
    NOT_OURS,
    OURS,
    READ_ONLY,
    RESOURCES,
    SESSION_LIMIT,
    SICK,
    STATEMENT,
    TIMEOUT,
    UNREACHABLE,
    Row,
    Verdict,
)
from guard.core.vocabulary import Lane, Outcome
from guard.errors import (
    BackendBusy,
    BackendError,
    BackendFailed,
    ReadOnlyViolation,
    StatementTimeout,
)

RETRYABLE: Final = frozenset({"40001", "40P01"})
"""Lost races: serialization failure and deadlock; nothing was kept."""

STATES: Final = (
    Row("08", UNREACHABLE, "the connection broke, or what came over it made no sense"),
    Row("23", CONSTRAINT, "a constraint is broken: unique, foreign key, not null, check"),
    Row("25006", READ_ONLY, "a write where only reads are taken"),
    Row("25P03", TIMEOUT, "idle inside a transaction for too long"),
    Row("25P04", TIMEOUT, "the transaction took too long (transaction_timeout)"),
    Row("40", CONFLICT, "the transaction was rolled back by the server"),
    Row("40001", CONFLICT, "serialization failure: another transaction was faster"),
    Row("40P01", CONFLICT, "deadlock"),
    Row("53", RESOURCES, "out of a resource"),
    Row("53100", RESOURCES, "disk full"),
    Row("53200", RESOURCES, "out of memory, or of shared memory for locks"),
    Row("53300", RESOURCES, "too many connections"),
    Row("53400", SESSION_LIMIT, "a limit of the session, such as temp_file_limit"),
    Row("55P03", CONFLICT, "no lock within lock_timeout, or at once with NOWAIT"),
    Row("57014", TIMEOUT, "statement time-out, or cancelled by somebody"),
    Row("57P", UNREACHABLE, "the server ends sessions, or takes none"),
    Row("57P01", UNREACHABLE, "the session was ended: a shutdown, or an administrator"),
    Row("57P05", TIMEOUT, "the session was idle for too long (idle_session_timeout)"),
    Row("58", RESOURCES, "a file or device of the server fails"),
    Row("XX", NOT_OURS, "an internal error; it may be the statement's or the server's"),
    Row("XX001", SICK, "damaged data"),
    Row("XX002", SICK, "a damaged index"),
)
"""By SQLSTATE; the longest beginning wins. What is not named is the statement's own fault."""

STORAGE_FILES: Final = frozenset({"md.c", "fd.c", "buffile.c"})
"""The server's own source files that write tables and temporary files.

Their names, unlike messages, are never translated.
"""
STORAGE: Final = (
    Row("42501", RESOURCES, "a file can't be made or written: the file system is read-only"),
    Row("XX000", RESOURCES, "a file can't grow: a quota is used up"),
)
"""By SQLSTATE, where the error comes out of ``STORAGE_FILES``.

The server has no states of its own for these, and lends those of other errors.
"""

CONNECTING: Final = (
    Row("too many clients", RESOURCES, "too many connections to the server"),
    Row("remaining connection slots", RESOURCES, "only reserved connections are left"),
    Row("too many connections for", RESOURCES, "too many connections of this role or database"),
)
"""By parts of the message, since the driver tells no SQLSTATE of a connection that is refused."""
POOLER: Final = Row("query_wait_timeout", BUSY, "08P01 of a pooler that has no connection free")
LOST: Final = Row(
    "", UNREACHABLE, "no connection, or a lost one: refused, reset, killed, cut at the deadline"
)

_OF_STORAGE: Final = {row.sign: row.verdict for row in STORAGE}
_BY_STATE: Final = {row.sign: row.verdict for row in STATES}
_BY_TYPE: Final[tuple[tuple[type[BaseException], Verdict], ...]] = (
    *OURS,
    (PoolTimeout, BUSY),
    (TooManyRequests, BUSY),
    (psycopg.OperationalError, LOST.verdict),
    (psycopg.Error, STATEMENT),
)


def judge(error: BaseException) -> Verdict:
    """Return what ``error`` says; an exception of the application's own says nothing."""
    if isinstance(error, BackendFailed):
        cause = error.__cause__
        kind = judge(cause).kind if isinstance(cause, psycopg.Error) else "unreachable"
        return Verdict(Outcome.FAILURE, kind)
    if isinstance(error, psycopg.Error) and error.sqlstate:
        return _by_state(error.sqlstate, error)
    if type(error) is psycopg.OperationalError:
        text = str(error)
        return next((row.verdict for row in CONNECTING if row.sign in text), LOST.verdict)
    return next((verdict for kind, verdict in _BY_TYPE if isinstance(error, kind)), NOT_OURS)


def _by_state(state: str, error: psycopg.Error) -> Verdict:
    if state == "08P01" and POOLER.sign in str(error):
        return POOLER.verdict
    if state in _OF_STORAGE and error.diag.source_file in STORAGE_FILES:
        return _OF_STORAGE[state]
    for length in (5, 3, 2):
        verdict = _BY_STATE.get(state[:length])
        if verdict is not None:
            return verdict
    return STATEMENT


def translate(error: psycopg.Error, lane: Lane) -> BackendError | None:
    """Return what the caller should get for a driver's error; None: the error itself."""
    verdict = judge(error)
    text = one_line(error)
    if verdict.kind == "timeout":
        return StatementTimeout(text)
    if verdict.kind == "busy":
        return BackendBusy(text)
    if verdict is READ_ONLY:
        if lane is Lane.READ:
            return ReadOnlyViolation(text)
        return BackendFailed(f"the write host takes no writes: {text}")
    return BackendFailed(text) if verdict.outcome is Outcome.FAILURE else None


def one_line(error: BaseException) -> str:
    """Return an error's message as one line."""
    return " ".join(str(error).split()) or type(error).__name__
