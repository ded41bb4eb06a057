"""Every exception that Guard raises, below one base class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.core.vocabulary import Lane, Reason


class GuardError(Exception):
    """Base of all exceptions that Guard raises on purpose."""


@dataclass(frozen=True, slots=True)
class BadSetting:
    """One setting that can't be used.

    Attributes:
        name: the environment variable, such as ``GUARD_MODE``.
        value: the text that was given, or a mask where the setting is secret.
        allowed: the allowed range or choices, for people.
        hint: what to do about it; may be empty.
    """

    name: str
    value: str
    allowed: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.name}={self.value!r}: {self.allowed}"
        return f"{text} ({self.hint})" if self.hint else text


class SettingsError(GuardError):
    """Some settings can't be used; lists every one of them.

    Attributes:
        problems: all bad settings, at least one.
    """

    def __init__(self, problems: Sequence[BadSetting]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class Shed(GuardError):
    """The request was refused before anything was executed for it.

    Raised to a developer's code that asks for a connection in a saturated lane; the
    middleware turns it into the 503, so a handler rarely needs to catch it.

    Attributes:
        lane: the lane that was asked for.
        reason: why.
        retry_after_s: when to come back, whole seconds, at least 1.
        status: the HTTP status, always 503.
    """

    status = 503

    def __init__(self, lane: Lane, reason: Reason, retry_after_s: int) -> None:
        self.lane = lane
        self.reason = reason
        self.retry_after_s = retry_after_s
        super().__init__(f"{lane} shed: {reason}; retry after {retry_after_s} s")


class ClientGone(GuardError):
    """The client hung up while its request waited for a connection; nothing was executed."""


class BackendError(GuardError):
    """Base of what a backend raises."""


class BackendBusy(BackendError):
    """No connection came free within the bounded wait; nothing was executed."""


class BackendClosed(BackendError):
    """The backend is not open: not yet, not any more, or not in this process."""


class BackendFailed(BackendError):
    """The database is unreachable or sick. Whether a write took effect may be unknown."""


class StatementTimeout(BackendError):
    """The statement ran longer than its time-out and was cancelled; it changed nothing."""


class ReadOnlyViolation(BackendError):
    """A write, or more than one statement, was asked of a read connection."""


class ConstraintViolation(BackendError):
    """The row breaks a constraint, such as a key that is already taken."""


class ResultTooLarge(BackendError):
    """The statement returned more rows than the configured cap."""
