"""The contract that every backend keeps; ``tests/backends`` proves it for each."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from guard.backends.waits import LockWait
    from guard.core.vocabulary import Lane, Outcome
    from guard.request import Mark

T = TypeVar("T")
Row = tuple[Any, ...]


class Bounds(NamedTuple):
    """How long one use of the database may take.

    Attributes:
        wait_s: the longest wait for a connection, seconds, > 0.
        run_s: the longest run of the whole unit once it has one, seconds, > 0; each
            statement's time-out is what is left of it.
        within_s: the longest time for both together, counted from the call, seconds, > 0.
        newest_first: whether the lane's queue stands, so that who came last is served first.
        mark: what a read must see, and what a write moves; None where nobody asks. For backends
            whose reads may be served by a replica; elsewhere each read sees each write.
    """

    wait_s: float
    run_s: float
    within_s: float = inf
    newest_first: bool = False
    mark: Mark | None = None


class PoolSignals(NamedTuple):
    """A lane's pool at this moment.

    Attributes:
        size: connections that exist and work.
        size_max: connections that were asked for; ``size < size_max`` is a degraded pool.
        in_use: connections given out.
        waiting: callers waiting for one.
        slots: requests that the pool can serve at once: ``size`` or what ``Backend.limit`` leaves
            of it, or the largest batch of a writer that merges.
    """

    size: int
    size_max: int
    in_use: int
    waiting: int
    slots: int


class Session(Protocol):
    """A connection for the length of one unit. Not thread-safe; useless after the unit."""

    def execute(
        self, sql: str, params: Sequence[object] = (), *, prepare: bool = True
    ) -> list[Row]:
        """Run one statement and return all its rows (none for a statement without a result).

        Args:
            sql: one statement in the database's own dialect and placeholders.
            params: the placeholders' values.
            prepare: False where the planner must see the values each time (PostgreSQL).

        Raises:
            ReadOnlyViolation: a write on a read session.
            StatementTimeout: the time ran out.
            ResultTooLarge: more rows than the cap.
            BackendFailed: the database went away.
            Exception: the driver's own exception for an error in the statement or its data.
        """
        ...


class StreamSession(Session, Protocol):
    """A read session that can also give rows piece by piece."""

    def rows(self, sql: str, params: Sequence[object] = (), *, chunk: int = 1000) -> Iterator[Row]:
        """Yield the rows of one statement, ``chunk`` rows fetched at a time; no cap on rows."""
        ...


@dataclass(frozen=True, slots=True)
class Insert:
    """The shape of a single-row insert; equal shapes can be merged into one statement.

    Attributes:
        table: the table's name, unquoted.
        columns: the columns' names, unquoted, in the row's order.
    """

    table: str
    columns: tuple[str, ...]


class Backend(Protocol):
    """A database with a read and a write lane. Thread-safe.

    Waits are always bounded. Errors in the unit's own SQL or data reach the caller as the
    driver raised them; everything else as a ``BackendError``. After an exception in a write
    unit nothing of it is kept.
    """

    def open(self, prepare: Callable[[Session], None] | None = None) -> None:
        """Start to open in the background, retrying until ``close``; returns at once.

        ``prepare`` (such as a schema migration) runs once in a write session with its own
        transaction before the backend is ready; where it raises, opening is tried again.
        """
        ...

    @property
    def ready(self) -> bool:
        """Whether the backend is open and prepared."""
        ...

    @property
    def opening_error(self) -> str:
        """Why the last attempt to open failed, one line; empty while there was none."""
        ...

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait until ready, at most ``timeout_s``; return whether it is."""
        ...

    def read(self, unit: Callable[[Session], T], bounds: Bounds | None = None) -> T:
        """Run ``unit`` with a read-only session and return its result.

        Raises:
            BackendBusy: no connection within ``bounds.wait_s``; nothing was executed.
            BackendClosed: not open.
            BackendFailed: unreachable.
        """
        ...

    def stream(self, bounds: Bounds | None = None) -> AbstractContextManager[StreamSession]:
        """Hold a read-only session over the ``with`` block, for results too large for a list."""
        ...

    def write(self, unit: Callable[[Session], T], bounds: Bounds | None = None) -> T:
        """Run ``unit`` in a transaction; return its result only after the commit is durable."""
        ...

    def insert(self, insert: Insert, row: Row, bounds: Bounds | None = None) -> None:
        """Insert one row; return only after the commit is durable. May share it with others.

        Raises:
            ConstraintViolation: this row breaks a constraint; the others of the batch are kept.
        """
        ...

    def signals(self, lane: Lane) -> PoolSignals:
        """Return the lane's pool at this moment; costs microseconds, asks no database."""
        ...

    def limit(self, lane: Lane, most: int) -> None:
        """Lend at most ``most`` of the lane's connections at once, >= 1; its slots are as many.

        Whoever has a connection keeps it. A writer that merges has one, and goes on.
        """
        ...

    def lock_waits(self) -> Sequence[LockWait]:
        """Return who waits for a lock, as it was last looked at; asks no database.

        Not older than a second or so; empty while nobody waits.
        """
        ...

    def classify(self, error: BaseException) -> Outcome:
        """Return what an exception out of ``read``, ``write`` or ``insert`` says about health."""
        ...

    def probe(self, lane: Lane, timeout_s: float) -> None:
        """Ask the lane's database on a connection that no request uses.

        The read lane is asked for ``SELECT 1``. On the write lane something small is written
        that leaves nothing behind: a full disk and a standby still answer queries.

        Raises:
            BackendError: no answer within ``timeout_s``, or no writes are taken.
        """
        ...

    def close(self, timeout_s: float = 5.0) -> None:
        """Let running units end, at most ``timeout_s``, then close everything. Idempotent."""
        ...
