"""Guard: overload protection for WSGI services in front of DuckDB or PostgreSQL."""

from guard.core.vocabulary import BreakerPhase, Lane, Mode, Outcome, Policy, Priority, Reason
from guard.errors import (
    BackendBusy,
    BackendClosed,
    BackendError,
    BackendFailed,
    ConstraintViolation,
    GuardError,
    ReadOnlyViolation,
    ResultTooLarge,
    SettingsError,
    Shed,
    StatementTimeout,
)

__all__ = [
    "BackendBusy",
    "BackendClosed",
    "BackendError",
    "BackendFailed",
    "BreakerPhase",
    "ConstraintViolation",
    "GuardError",
    "Lane",
    "Mode",
    "Outcome",
    "Policy",
    "Priority",
    "ReadOnlyViolation",
    "Reason",
    "ResultTooLarge",
    "SettingsError",
    "Shed",
    "StatementTimeout",
]
