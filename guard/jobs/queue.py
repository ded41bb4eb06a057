"""What a queue of put-off writes promises; ``tests/jobs`` proves it for each kind."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from guard.errors import BackendBusy, BackendClosed, BackendFailed, Shed, StatementTimeout

if TYPE_CHECKING:
    from collections.abc import Callable

LATER: Final = (Shed, BackendBusy, BackendClosed, BackendFailed, StatementTimeout)
"""With one of these the database took nothing, or may not have: the job is run again."""
LOOK_S: Final = 0.1
"""Time between two looks at an empty queue, and before a job is run again, seconds."""


class Unsure(Exception):  # noqa: N818 - says how it stands
    """Whether a job was taken is not known: the queue went away while it was handed over."""


class Phase(StrEnum):
    """How far a job is."""

    QUEUED = "queued"
    """It will be run; or is being run, or run again."""
    DONE = "done"
    """It was run, durably."""
    FAILED = "failed"
    """It can't be run: the database refuses its data."""


class Job(NamedTuple):
    """A write that was put off.

    Attributes:
        id: a UUID's text, made when it was accepted. What the job creates has this key, so that a
            second run creates nothing more.
        data: what it needs, as JSON knows it.
    """

    id: str
    data: dict[str, Any]


class JobQueue(Protocol):
    """A durable queue. Thread-safe.

    What ``put`` has returned an id for is run at least once, whichever process is killed. Where
    ``put``, ``phase``, ``waiting`` and ``doubt`` raise anything, the queue can't be reached.
    """

    def put(self, data: dict[str, Any]) -> str | None:
        """Take a job, durable on return, and return its id; None where the queue is full.

        Raises:
            Unsure: it may have been taken. After anything else that is raised it was not.
        """
        ...

    def phase(self, job_id: str) -> Phase | None:
        """Return how far a job is; None where it is not known (any more)."""
        ...

    def waiting(self) -> int:
        """Return how many jobs have not ended."""
        ...

    def doubt(self) -> str:
        """Return why what it has taken might be lost, one line; empty where nothing says so."""
        ...

    def start(self, run: Callable[[Job], None]) -> None:
        """Run jobs in a thread of this process, one at a time.

        Args:
            run: runs one. One of ``LATER`` has it run again after a pause; any other exception
                has failed it for good.
        """
        ...

    def stop(self, timeout_s: float) -> None:
        """Let the job under way end, at most ``timeout_s``, and let go. Idempotent."""
        ...
