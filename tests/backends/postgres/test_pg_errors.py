from __future__ import annotations

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg_pool import PoolTimeout, TooManyRequests

from guard.backends.postgres.errors import judge, one_line, translate
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
from guard.metrics import ERROR_KINDS


def _error(state: str, message: str = "told by the server") -> psycopg.Error:
    error = psycopg.OperationalError(message)
    error.sqlstate = state
    return error


@pytest.mark.parametrize(
    ("state", "outcome", "kind"),
    [
        ("08006", "failure", "unreachable"),
        ("57P01", "failure", "unreachable"),
        ("57P03", "failure", "unreachable"),
        ("53300", "failure", "resources"),
        ("53100", "failure", "resources"),
        ("58030", "failure", "resources"),
        ("XX001", "failure", "internal"),
        ("XX000", "neutral", "internal"),
        ("57014", "neutral", "timeout"),
        ("25P03", "neutral", "timeout"),
        ("40001", "neutral", "conflict"),
        ("40P01", "neutral", "conflict"),
        ("55P03", "neutral", "conflict"),
        ("23505", "ok", "constraint"),
        ("25006", "ok", "read_only"),
        ("22P02", "ok", "statement"),
        ("42601", "ok", "statement"),
        ("21000", "ok", "statement"),
        ("44000", "ok", "statement"),
        ("0A000", "ok", "statement"),
        ("P0001", "ok", "statement"),
    ],
)
def test_the_sqlstate_decides(state: str, outcome: str, kind: str) -> None:
    assert judge(_error(state)) == (Outcome(outcome), kind)


@pytest.mark.parametrize(
    ("error", "outcome", "kind"),
    [
        (psycopg.OperationalError("connection refused"), "failure", "unreachable"),
        (psycopg.ProgrammingError("the query has 1 placeholder"), "ok", "statement"),
        (PoolTimeout("late"), "neutral", "busy"),
        (TooManyRequests("many"), "neutral", "busy"),
        (BackendBusy("busy"), "neutral", "busy"),
        (BackendClosed("closed"), "neutral", "busy"),
        (BackendFailed("failed"), "failure", "unreachable"),
        (StatementTimeout("slow"), "neutral", "timeout"),
        (ReadOnlyViolation("write"), "ok", "read_only"),
        (ConstraintViolation("key"), "ok", "constraint"),
        (ResultTooLarge("rows"), "ok", "statement"),
        (ValueError("the application's own"), "neutral", "internal"),
        (KeyboardInterrupt(), "neutral", "internal"),
    ],
)
def test_without_a_sqlstate_the_type_decides(error: BaseException, outcome: str, kind: str) -> None:
    assert judge(error) == (Outcome(outcome), kind)


def test_a_failure_has_the_kind_of_its_cause() -> None:
    failure = BackendFailed("no room")
    failure.__cause__ = _error("53300")
    assert judge(failure) == (Outcome.FAILURE, "resources")


def test_a_pooler_without_a_free_connection_is_busy_not_broken() -> None:
    assert judge(_error("08P01", "query_wait_timeout")) == (Outcome.NEUTRAL, "busy")
    assert judge(_error("08P01")).outcome is Outcome.FAILURE
    assert isinstance(translate(_error("08P01", "query_wait_timeout"), Lane.READ), BackendBusy)


@pytest.mark.parametrize(
    ("state", "lane", "expected"),
    [
        ("57014", Lane.READ, StatementTimeout),
        ("25006", Lane.READ, ReadOnlyViolation),
        ("25006", Lane.WRITE, BackendFailed),
        ("57P01", Lane.WRITE, BackendFailed),
        ("53200", Lane.READ, BackendFailed),
        ("23505", Lane.WRITE, None),
        ("42601", Lane.READ, None),
        ("40001", Lane.WRITE, None),
    ],
)
def test_only_what_is_not_the_statements_fault_is_translated(
    state: str, lane: Lane, expected: type[BackendError] | None
) -> None:
    translated = translate(_error(state), lane)
    assert translated is None if expected is None else type(translated) is expected


@given(st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=5, max_size=5))
def test_every_sqlstate_has_a_known_kind(state: str) -> None:
    assert judge(_error(state)).kind in ERROR_KINDS


def test_a_message_becomes_one_line() -> None:
    assert one_line(ValueError("a\n  b\n")) == "a b"
    assert one_line(ValueError()) == "ValueError"
