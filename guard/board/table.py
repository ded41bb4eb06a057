"""The writer's side of a row: where each label set's cells are, and room for new ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.board.layout import (
    STATIC,
    STATIC_CELLS,
    WORD_BYTES,
    Entry,
    encode_labels,
    is_dynamic,
    other_labels,
    width_of,
)
from guard.metrics import ALL, Kind

if TYPE_CHECKING:
    from guard.board.layout import Key, Labels, RowMemory
    from guard.metrics import Metric

NOWHERE: Final = -1
"""The offset of what has no room at all."""

# Kept free, so that whatever has no room can still be counted as (other).
_SPARE_ENTRIES: Final = sum(map(is_dynamic, ALL))
_SPARE_CELLS: Final = sum(width_of(metric) for metric in ALL if is_dynamic(metric))


class Table:
    """Finds and appends label sets. Not thread-safe; one process writes a row.

    Args:
        memory: the row, whose entries are written anew.

    Attributes:
        offsets: for each kind of metric the first cell of each label set.
        full: whether something had no room of its own.
    """

    def __init__(self, memory: RowMemory) -> None:
        self.offsets: dict[Kind, dict[Key, int]] = {kind: {} for kind in Kind}
        self.full = False
        self._memory = memory
        self._used = STATIC_CELLS
        self._count = len(STATIC)
        memory.count = 0
        self._wipe(0, STATIC_CELLS)
        for index, entry in enumerate(STATIC):
            # The known labels are short: a test looks at each.
            memory.write_entry(index, entry, encode_labels(entry.labels) or b"")
            self.offsets[entry.metric.kind][entry.metric, entry.labels] = entry.offset
        memory.count = self._count

    def place(self, metric: Metric, labels: Labels) -> int:
        """Return the first cell of a label set, which is appended where it is new.

        What has no room, or labels that are too long, gets the ``(other)`` set of a metric
        that is dynamic; else, and where the labels don't fit the metric, ``NOWHERE``.

        Args:
            metric: one of ``guard.metrics.ALL``.
            labels: encodable text.
        """
        known = self.offsets[metric.kind]
        if (metric, labels) in known:
            return known[metric, labels]
        if len(labels) != len(metric.labels):
            return NOWHERE
        other = other_labels(metric)
        offset = self._append(metric, labels, spare=is_dynamic(metric) and labels == other)
        if offset == NOWHERE:
            self.full = True
            return self.place(metric, other) if is_dynamic(metric) and labels != other else NOWHERE
        return offset

    def _append(self, metric: Metric, labels: Labels, *, spare: bool) -> int:
        encoded = encode_labels(labels)
        shape = self._memory.shape
        entry = Entry(metric, labels, self._used, width_of(metric))
        entries_left = shape.entries - self._count - (0 if spare else _SPARE_ENTRIES)
        cells_left = shape.cells - self._used - (0 if spare else _SPARE_CELLS)
        if encoded is None or entries_left < 1 or cells_left < entry.width:
            return NOWHERE
        self._wipe(entry.offset, entry.width)
        self._memory.write_entry(self._count, entry, encoded)
        self._count += 1
        self._used += entry.width
        # Last: from here on readers see the entry, and a kill before leaves no trace.
        self._memory.count = self._count
        self.offsets[metric.kind][metric, labels] = entry.offset
        return entry.offset

    def _wipe(self, at: int, width: int) -> None:
        # They are 0, unless somebody else has written there.
        self._memory.cells[at : at + width] = memoryview(bytes(WORD_BYTES * width)).cast("d")
