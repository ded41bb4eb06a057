"""One breaker's state and counts behind one door, in this process or shared by a host's."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from guard.breaker.locks import Locks
from guard.breaker.memory import BreakerMemory, Overwritten, size_bytes
from guard.breaker.window import Window
from guard.core.breaker_types import BreakerState

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.core.vocabulary import BreakerPhase

log = logging.getLogger("guard.breaker")

LOCKS: Final = 64
"""Numbers of locks that a breaker takes: one for changes, the rest are leases."""
_LEASES: Final = LOCKS - 1


class BreakerStore:
    """What the breakers of all workers of a host share for one lane. Thread-safe.

    Args:
        memory: the breaker's memory.
        locks: the locks of its host.
        first_lock: the first of its ``LOCKS`` numbers.
        index: the row that this process counts in, or None; see ``Window``.

    Attributes:
        memory: the breaker's memory.
        window: the counts.
    """

    def __init__(
        self, memory: BreakerMemory, locks: Locks, first_lock: int, index: int | None
    ) -> None:
        self.memory = memory
        self.window = Window(memory, index)
        self._locks = locks
        self._change = first_lock
        # What is put in force again where somebody else has written into the memory.
        self._last = BreakerState()

    @classmethod
    def local(cls) -> BreakerStore:
        """Return a store for this process alone."""
        memory = BreakerMemory(memoryview(bytearray(size_bytes(1))), 1)
        return cls(memory, Locks(), 0, 0)

    def read(self) -> tuple[int, BreakerState]:
        """Return the number of the last change and the state in force.

        Where the memory was overwritten, the state that this worker saw last is put in force.
        """
        try:
            commit, self._last = self.memory.read()
        except Overwritten:
            if not self._locks.take(self._change, 0.0):
                return self.memory.commits[0], self._last  # another one is at it
            try:
                return self._mended()
            finally:
                self._locks.free(self._change)
        return commit, self._last

    def _mended(self) -> tuple[int, BreakerState]:
        # With the lock held nobody writes, so a record that is not whole stays so.
        try:
            return self.memory.read()
        except Overwritten:
            log.exception("a breaker's memory was overwritten; its last state goes on")
            return self.memory.mend(self._last), self._last

    def update(
        self, change: Callable[[BreakerState], BreakerState], wait_s: float
    ) -> tuple[int, BreakerState, BreakerState] | None:
        """Replace the state by ``change`` of it, with no other process in between.

        Return the number of the last change, the state before and the state now; None where
        another process held the lock for ``wait_s``. ``change`` is called once.
        """
        if not self._locks.take(self._change, wait_s):
            return None
        try:
            commit, before = self._mended()
            after = self._last = change(before)
            if after is not before:
                commit = self.memory.write(before, after)
        finally:
            self._locks.free(self._change)
        return commit, before, after

    def take_lease(self, generation: int) -> bool:
        """Take the right to probe in a generation; return whether it was free.

        The kernel frees it when this process dies. Each generation has a lease of its own, so
        that a prober which was given up, but still holds its lease, bars nobody.
        """
        return self._locks.take(self._lease(generation))

    def free_lease(self, generation: int) -> None:
        """Give the right to probe back."""
        self._locks.free(self._lease(generation))

    def changes(self, first: int, last: int) -> list[tuple[BreakerPhase, BreakerPhase]]:
        """Return the changes of phase that began these generations, but those long gone."""
        first = max(first, last - LOCKS)
        found = (self.memory.change(generation) for generation in range(first, last + 1))
        return [change for change in found if change is not None]

    def _lease(self, generation: int) -> int:
        return self._change + 1 + generation % _LEASES
