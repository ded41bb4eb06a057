"""The board: rows are given out, read and summed, and taken back here."""

from __future__ import annotations

import mmap
import os
from threading import Event
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from guard.board.breakers import BreakerRegion
from guard.board.layout import TURNS, BoardHead, Layout, RowMemory
from guard.board.notes import Notes
from guard.board.refusals import Rings
from guard.board.row import WorkerRow
from guard.board.shared import Shared, decided
from guard.board.sums import Directory, Totals
from guard.board.table import NOWHERE, Table
from guard.breaker.locks import Locks
from guard.clock import MonotonicClock
from guard.errors import GuardError
from guard.metrics import WORKER_READY, WORKER_RECYCLES, WORKERS, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.board.layout import Labels
    from guard.board.refusals import Refusal
    from guard.clock import Clock
    from guard.core.vocabulary import Lane
    from guard.events import Decided
    from guard.metrics import Metric, Sample

_TRIES: Final = 200
_COUNT_MAX: Final = 2.0**53
"""A float counts no further."""
_PAUSE_S: Final = 0.001
T = TypeVar("T")


class RowTaken(GuardError, RuntimeError):  # noqa: N818 - says what happened
    """The row is in use by another worker, or was not retired after it."""


class RowInUse(NamedTuple):
    """A row that a worker owns.

    Attributes:
        index: the row's number.
        pid: the worker's process id.
        heartbeat_s: when it last said that it lives, seconds of the monotonic clock; the time
            of its claim where it has not yet.
    """

    # A field may have the name of a tuple's method.
    index: int  # type: ignore[assignment]
    pid: int
    heartbeat_s: float


class WorkerView(NamedTuple):
    """One worker as the board shows it.

    Attributes:
        pid: the worker's process id.
        heartbeat_s: as in ``RowInUse``.
        gauges: its own values of each gauge by label set; every known label set is there.
    """

    pid: int
    heartbeat_s: float
    gauges: dict[Metric, dict[Labels, float]]

    @property
    def ready(self) -> bool:
        """Whether the worker says that it is open for requests."""
        return self.gauges[WORKER_READY][()] > 0.0


class Board:
    """What all workers of a host measured, in memory that they share.

    Made by ``anonymous`` in the process that forks the workers, or by ``local``. Each worker
    claims a row after its fork. ``retire`` belongs to one thread of the process that made the
    board; all else is thread-safe and may be called in every process.

    **No count is seen twice or lost.** ``retire`` moves a dead worker's counts into the
    retired row while the sequence number is odd. A reader notes the number, reads, and reads
    again where the number was odd or has changed. So what ``collect`` returns holds each count
    once, and a counter never goes down. A reader gives up after 0.2 s: the number then stays
    odd because its owner was killed there, and with it goes the whole board.

    Args:
        memory: zeroed memory of ``layout.size_bytes``.
        layout: where everything lies in it.
        shared: whether forked processes share the memory.
        clock: the time, for the first heartbeat of a row.
    """

    def __init__(
        self, memory: memoryview, layout: Layout, *, shared: bool, clock: Clock | None = None
    ) -> None:
        self._shared = shared
        self._clock = clock or MonotonicClock()
        self._head = BoardHead(memory)
        start, size = layout.retired_at, layout.retired.size_bytes
        self._retired = RowMemory(memory[start : start + size], layout.retired)
        self._retired_table = Table(self._retired)
        size = layout.row.size_bytes
        starts = [layout.row_at(index) for index in range(layout.rows)]
        self._rows = [RowMemory(memory[at : at + size], layout.row) for at in starts]
        self._notes = Notes(layout.rows)
        start = layout.promises_at
        self._promises = memory[start : start + layout.promises_bytes]
        locks = Locks.shared() if shared else Locks()
        self._breakers = BreakerRegion(memory[layout.breakers_at :], layout.rows, locks)
        self._rings = Rings(layout.rows)
        self._directories: dict[RowMemory, Directory] = {}
        self._pause = Event()

    @classmethod
    def anonymous(
        cls, rows: int, *, layout: Layout | None = None, clock: Clock | None = None
    ) -> Board:
        """Return a board that all processes share which are forked from this one afterwards.

        Args:
            rows: workers that can be there at once, >= 1.
            layout: other sizes; then ``rows`` is not looked at.
            clock: the time.

        Raises:
            OSError: there is not enough memory.
        """
        layout = layout or Layout(rows)
        memory = memoryview(mmap.mmap(-1, layout.size_bytes))
        return cls(memory, layout, shared=True, clock=clock)

    @classmethod
    def local(cls) -> tuple[Board, WorkerRow]:
        """Return a board for this process alone, and its one row, claimed."""
        layout = Layout(1)
        board = cls(memoryview(bytearray(layout.size_bytes)), layout, shared=False)
        return board, board.claim(0, os.getpid())

    def claim(self, index: int, pid: int) -> WorkerRow:
        """Take a row for this worker; to be called in the worker, after the fork.

        A worker killed in the middle of this leaves the row free.

        Args:
            index: the row's number, 0 to ``rows`` - 1.
            pid: the worker's process id.

        Raises:
            RowTaken: another worker has it.
        """
        memory = self._rows[index]
        if memory.owned:
            raise RowTaken(f"row {index} belongs to process {memory.pid}")
        siblings = Shared(self._promises, len(self._rows), index, self._decided)
        note = self._notes.note(index)
        row = WorkerRow(memory, self._routes, siblings, note, shared=self._shared)
        note.clear()
        row.breakers = self._breakers.of_worker(index)
        row.refusals = self._rings.ring(index)
        memory.pid = pid
        memory.heartbeat_s = self._clock.now_s()
        row.set(WORKERS, (), 1.0)
        # Last: from here on readers look at the row.
        memory.turn()
        return row

    def retire(self, index: int) -> None:
        """Keep a dead worker's counters and histograms, drop its gauges, free its row.

        Idempotent; nothing where the row is free. The worker must be dead, and may have been
        killed anywhere. A label set that has no room in the retired row is counted as
        ``(other)`` from then on.

        Args:
            index: the row's number.
        """
        memory = self._rows[index]
        if not memory.owned:
            return
        # Odd, whatever somebody else may have written there.
        self._head.sequence = self._head.sequence % TURNS | 1
        try:
            self._fold(memory)
            memory.count = 0
            memory.turn()
            self._retired.cells[self._retired_table.place(WORKER_RECYCLES, ())] += 1.0
        finally:
            self._head.sequence += 1

    def _fold(self, memory: RowMemory) -> None:
        cells, kept = memory.cells, self._retired.cells
        for entry in Directory(memory.generation).extended(memory):
            gauge = entry.metric.kind is Kind.GAUGE
            target = NOWHERE if gauge else self._retired_table.place(entry.metric, entry.labels)
            for step in range(entry.width):
                value = cells[entry.offset + step]
                # Moved, not copied: were this cut short, a second call would not count twice.
                cells[entry.offset + step] = 0.0
                # Nobody has counted more or less: foreign bytes would stay for ever.
                if target != NOWHERE and 0.0 <= value < _COUNT_MAX:
                    kept[target + step] += value

    def free_index(self) -> int | None:
        """Return the lowest row that no worker owns; None where all are taken."""
        return next((index for index, row in enumerate(self._rows) if not row.owned), None)

    def rows_in_use(self) -> list[RowInUse]:
        """Return the rows that workers own."""
        return self._stable(
            lambda: [
                RowInUse(index, row.pid, row.heartbeat_s)
                for index, row in enumerate(self._rows)
                if row.owned
            ]
        )

    def collect(self) -> list[Sample]:
        """Return the totals: a sample for each label set, metrics in the order of the table.

        Counters and histograms are summed over all rows and the retired one; gauges over the
        living workers' rows, or their largest value is taken, as the metric says.
        """
        return self._stable(self._totals).samples()

    def value(self, metric: Metric, labels: Labels = ()) -> float:
        """Return one label set's total: of a histogram the sum. 0 where it is unknown."""
        return self._stable(self._totals).value(metric, labels)

    def notes(self) -> dict[int, dict[str, Any]]:
        """Return what each living worker notes, by its process id; see ``guard.board.notes``."""
        rows = enumerate(self._rows)
        return {row.pid: self._notes.note(index).read() for index, row in rows if row.owned}

    def refusals(self, most: int = 100) -> list[Refusal]:
        """Return the newest refusals that workers kept, the newest first, at most ``most``."""
        return self._rings.latest(most)

    def workers(self) -> list[WorkerView]:
        """Return each worker with its own gauges."""
        return self._stable(lambda: [self._view(row) for row in self._rows if row.owned])

    def _view(self, memory: RowMemory) -> WorkerView:
        gauges: dict[Metric, dict[Labels, float]] = {}
        for entry in self._directory(memory):
            if entry.metric.kind is Kind.GAUGE:
                gauges.setdefault(entry.metric, {})[entry.labels] = memory.cells[entry.offset]
        return WorkerView(memory.pid, memory.heartbeat_s, gauges)

    def _totals(self) -> Totals:
        totals = Totals()
        for memory in (self._retired, *(row for row in self._rows if row.owned)):
            totals.add(self._directory(memory), memory)
        for metric, labels, value in self._breakers.gauges():
            totals.put(metric, labels, value)
        return totals

    def _decided(self) -> tuple[dict[Lane, Decided], int]:
        def read() -> tuple[dict[Lane, Decided], int]:
            living = [row for row in self._rows if row.owned]
            return decided((self._retired, *living)), len(living)

        return self._stable(read)

    def _routes(self) -> set[str]:
        # Not under the sequence number: a route that moves to the retired row is in one of the
        # two at any time, and one missed costs nothing but a label value too many.
        found: set[str] = set()
        for memory in (*(row for row in self._rows if row.owned), self._retired):
            found |= self._directory(memory).routes
        return found

    def _directory(self, memory: RowMemory) -> Directory:
        # Each is immutable and replaced whole, so threads need no lock: the worst that a race
        # costs is that some entries are read once more.
        generation = memory.generation
        known = self._directories.get(memory)
        if known is None or known.generation != generation:
            known = Directory(generation)
        directory = known.extended(memory)
        if memory.generation == generation:
            self._directories[memory] = directory
        return directory

    def _stable(self, read: Callable[[], T]) -> T:
        for _ in range(_TRIES):
            before = self._head.sequence
            if before % 2 == 0:
                result = read()
                if self._head.sequence == before:
                    return result
            self._pause.wait(_PAUSE_S)
        return read()
