"""Notes who waits for locks, where another process can read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from guard import metrics
from guard.core.vocabulary import Lane

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from guard.backends.base import Backend
    from guard.events import Recorder

PART = "locks"
"""The part of a worker's note that holds its lock waits."""


def all_waits(notes: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the lock waits of all workers' notes, the longest first."""
    waits = (wait for note in notes for wait in note.get(PART, ()))
    return sorted(waits, key=lambda wait: -wait["waited_s"])


class Note(Protocol):
    """Takes parts of a document; ``guard.board.Note`` is one."""

    def put(self, name: str, value: Any) -> bool:  # noqa: ANN401 - whatever JSON can say
        """Set one part."""
        ...


class LockWatch:
    """Puts the backend's lock waits into the note; for a single writer sets their gauges too.

    On PostgreSQL the gauges are set by the sampler, which looks more often.

    Args:
        backend: tells the waits.
        recorder: takes the gauges.
        note: takes the rows, as ``LockWait.document`` says them; None where nobody reads them.
        single_writer: whether the write lane is one queue in front of one writer (DuckDB).
    """

    def __init__(
        self, backend: Backend, recorder: Recorder, note: Note | None, *, single_writer: bool
    ) -> None:
        self._backend = backend
        self._record = recorder
        self._note = note
        self._single_writer = single_writer

    def __call__(self, _now_s: float) -> None:
        """Look once."""
        waits = self._backend.lock_waits()
        if self._single_writer:
            labels = (Lane.WRITE.value,)
            waiters = sum(wait.waiters for wait in waits)
            oldest_s = max((wait.waited_s for wait in waits), default=0.0)
            self._record.set(metrics.LOCK_WAITERS, labels, waiters)
            self._record.set(metrics.LOCK_WAIT_OLDEST, labels, oldest_s)
        if self._note is not None:
            self._note.put(PART, [wait.document() for wait in waits])
