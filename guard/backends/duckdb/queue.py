"""The writer's queue: units of work, each waiting with a deadline of its own."""

from __future__ import annotations

import contextvars
from collections import deque
from enum import Enum
from itertools import chain
from threading import Condition, Lock
from typing import TYPE_CHECKING

from guard.core.group_commit import row_kinds
from guard.errors import BackendBusy, BackendClosed

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from guard.backends.base import Bounds, Insert, Row, Session
    from guard.clock import Clock


class State(Enum):
    """Where a unit is."""

    QUEUED = "queued"
    """Nothing of it was executed; it can still be given up."""
    TAKEN = "taken"
    """It runs, or ran in a transaction that may yet be undone; its caller waits."""
    DONE = "done"
    """It has a result or an error."""
    GONE = "gone"
    """Given up or refused before anything of it was executed."""


class _Unit:
    """One unit of work and the caller that waits for it.

    Attributes:
        bounds: how long it may wait and run.
        key: equal for inserts that can share a statement; None for a general unit.
        gate: released once it is done or gone.
        state: guarded by the queue's lock, as all that follows.
        queued_s: when it came.
        taken_s: when it was taken.
        done_s: when its outcome was known.
        result: what a general unit returned.
        error: why it failed.
    """

    def __init__(self, bounds: Bounds, now_s: float, key: Hashable | None) -> None:
        self.bounds = bounds
        self.key = key
        self.gate = Lock()
        self.gate.acquire()
        self.state = State.QUEUED
        self.queued_s = self.taken_s = self.done_s = now_s
        self.result: object = None
        self.error: BaseException | None = None


class Work(_Unit):
    """A general unit of work; runs in the writer's thread, but in its caller's context."""

    def __init__(self, bounds: Bounds, now_s: float, act: Callable[[Session], object]) -> None:
        super().__init__(bounds, now_s, None)
        self._act = act
        self._context = contextvars.copy_context()

    def run(self, session: Session) -> object:
        """Run the unit and return its result."""
        return self._context.run(self._act, session)


class RowInsert(_Unit):
    """One row to insert.

    Raises:
        ValueError: the row does not have the shape's length, or no values.
    """

    def __init__(self, bounds: Bounds, now_s: float, insert: Insert, row: Row) -> None:
        if len(row) != len(insert.columns) or not row:
            raise ValueError(f"{len(row)} values for the columns {insert.columns}")
        kinds = row_kinds(row)
        # A row that fits no other gets a key that no other has.
        super().__init__(bounds, now_s, (insert, id(self) if kinds is None else kinds))
        self.insert = insert
        self.row = row


Unit = Work | RowInsert


class WriteQueue:
    """First come, first served; who waits can give up until the writer takes the unit.

    One thread at a time leads: it alone executes. That is the writer thread, or a caller who
    came while nobody led and nothing waited: a hand-over to the thread and back would take a
    lone caller longer than the rest of the way to the commit.

    Thread-safe; ``take`` is for the one writer thread.

    Args:
        clock: tells whether a unit's wait is over.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = Condition(Lock())
        # Guarded by _changed.
        self._units: deque[Unit] = deque()
        self._hand: list[Unit] = []
        self._waiting = 0
        self._led = False
        self._closed = False
        self._abandoned = False

    @property
    def waiting(self) -> int:
        """Units of which nothing was executed yet."""
        return self._waiting

    @property
    def oldest_wait_s(self) -> float:
        """How long the oldest unit has waited of which nothing was executed; 0 without one."""
        with self._changed:
            for unit in chain(self._hand, self._units):
                if unit.state is State.QUEUED:
                    return self._clock.now_s() - unit.queued_s
        return 0.0

    def put(self, unit: Unit, *, may_lead: bool = False) -> bool:
        """Queue a unit, or give its caller the lead; return whether the caller leads now.

        Who leads executes the unit, then calls ``end_lead``.

        Raises:
            BackendClosed: closed.
        """
        with self._changed:
            if self._closed:
                raise BackendClosed("the database is closing")
            self._waiting += 1
            if may_lead and not self._led and not self._units:
                self._led = True
                return True
            self._units.append(unit)
            if not self._led:
                self._changed.notify()
            return False

    def end_lead(self) -> None:
        """Stop to lead; what came meanwhile is the writer thread's."""
        with self._changed:
            self._led = False
            if self._units or self._closed:
                self._changed.notify()

    @property
    def led(self) -> bool:
        """Whether a batch is being executed."""
        return self._led

    def take(self, count_max: int) -> list[Unit]:
        """Wait for units and lead with up to ``count_max``; empty once closed and drained.

        They still count as waiting until they are claimed, one statement at a time.
        """
        with self._changed:
            while self._led or not (self._units or self._closed):
                self._changed.wait()
            self._led = bool(self._units)
            count = min(count_max, len(self._units))
            self._hand = [self._units.popleft() for _ in range(count)]
            return self._hand

    def claim(self, units: Iterable[Unit]) -> list[Unit]:
        """Return those of ``units`` that are to be executed now.

        From here on their callers wait for the result. One whose wait is over is refused, even
        where its caller has not woken up to see it.
        """
        now_s = self._clock.now_s()
        with self._changed:
            return [unit for unit in units if self._claimed(unit, now_s)]

    def _claimed(self, unit: Unit, now_s: float) -> bool:
        if unit.state is not State.QUEUED:
            return unit.state is State.TAKEN
        self._waiting -= 1
        unit.taken_s = unit.done_s = now_s
        if not self._abandoned and now_s - unit.queued_s <= unit.bounds.wait_s:
            unit.state = State.TAKEN
            return True
        if self._abandoned:
            unit.state = State.DONE
            unit.error = BackendClosed("the database is closing")
        else:
            unit.state = State.GONE
        unit.gate.release()
        return False

    def give_up(self, unit: Unit) -> bool:
        """Take a unit back whose wait is over; return False where it was taken before."""
        with self._changed:
            if unit.state is not State.QUEUED:
                return unit.state is State.GONE
            unit.state = State.GONE
            self._waiting -= 1
            # It may be in the writer's hands already, who then finds it gone.
            if unit in self._units:
                self._units.remove(unit)
            return True

    def finish(self, unit: Unit, result: object = None, error: BaseException | None = None) -> None:
        """Give a taken or queued unit its outcome; the first outcome counts."""
        done_s = self._clock.now_s()
        with self._changed:
            if unit.state is State.QUEUED:
                self._waiting -= 1
                unit.taken_s = done_s
            elif unit.state is not State.TAKEN:
                return
            unit.state = State.DONE
            unit.result, unit.error, unit.done_s = result, error, done_s
        unit.gate.release()

    def close(self) -> None:
        """Take no more units; those that wait are still served."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def abandon(self) -> list[Unit]:
        """Close, refuse what is not yet claimed, and return what waits, for the caller to fail."""
        with self._changed:
            self._closed = self._abandoned = True
            units = list(self._units)
            self._units.clear()
            self._changed.notify_all()
        return units


def busy(unit: Unit) -> BackendBusy:
    """Return the error of a unit that was never taken."""
    return BackendBusy(f"the writer did not come to it within {unit.bounds.wait_s:.3f} s")
