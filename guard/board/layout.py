"""Where everything lies in the board's memory.

One piece of anonymous shared memory, made before the workers are forked. Every word is 8 bytes
and aligned, so that it is read and written whole. Pages that nobody touches cost nothing::

    board   +--------------------------------------------------------------+
            | head      64 bytes                                           |
            |   word 0  sequence: odd while a row is being retired         |
            +--------------------------------------------------------------+
            | retired row: what dead workers counted; written by the       |
            |              arbiter alone, larger than a worker's row       |
            +--------------------------------------------------------------+
            | row 0       written by its worker alone                      |
            +--------------------------------------------------------------+
            | row 1, row 2, ...                                            |
            +--------------------------------------------------------------+
            | promises: for each lane a ring of seconds, and the best      |
            |           rates; words by worker (guard.board.shared)        |
            | breakers: see guard.board.breakers, guard.breaker.memory     |
            +--------------------------------------------------------------+

    row     +--------------------------------------------------------------+
            | head      64 bytes                                           |
            |   word 0  generation: odd while a worker owns the row        |
            |   word 1  the worker's process id                            |
            |   word 2  heartbeat, seconds of the monotonic clock (f64)    |
            |   word 3  number of entries                                  |
            +--------------------------------------------------------------+
            | directory of entries, append-only while the row is owned     |
            +--------------------------------------------------------------+
            | cells     f64 each                                           |
            +--------------------------------------------------------------+

    entry   | checksum u32 | metric u16 | length u16 | first cell u32 | labels, <= 180 bytes |

``metric`` is an index in ``guard.metrics.ALL``; each label is one length byte and its UTF-8. A
counter or gauge has one cell; a histogram has its sum, then the observations of each bucket,
the last one being +Inf's.

The first entries of every row are the known label sets, in one order. The rest is appended at
first use: cells (which are 0), entry, then the number of entries. The checksum makes an entry
whole or absent to a reader in another process, in whatever order a processor shows it the
writer's stores, and wherever the writer was killed.

Foreign bytes, of code that writes where it should not, stop nobody: readers take what is whole,
a row's next owner writes it anew, and a breaker goes on with the state that the first worker to
look at it saw last. What they have done to the retired row's counts stays until the restart.

Each region is of its own: ``Layout`` adds them up in order, and nothing but ``Layout`` knows where
one begins. The memory has no name, and neither has the file that carries the locks: no other
user's process can open either.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, NamedTuple
from zlib import crc32

from guard.board.breakers import region_bytes
from guard.core.promise_ring import words_for
from guard.core.vocabulary import Lane
from guard.metrics import ALL, Kind, Metric

Labels = tuple[str, ...]
Key = tuple[Metric, Labels]

OTHER: Final = "(other)"
"""The label value of everything that has no room of its own."""
ROUTE: Final = "route"
"""The label whose number of values is bounded."""

WORD_BYTES: Final = 8
HEAD_BYTES: Final = 64
LABEL_BYTES_MAX: Final = 180
TURNS: Final = 1 << 62
"""More claims and retirements than there ever are; foreign bytes may say otherwise."""

_CHECKSUM: Final = struct.Struct("<I")
_REST: Final = struct.Struct("<HHI")
_LABELS_AT: Final = _CHECKSUM.size + _REST.size
_ENTRY_BYTES: Final = _LABELS_AT + LABEL_BYTES_MAX
_ONE_LABEL_MAX: Final = 255

METRIC_INDEX: Final = {metric: index for index, metric in enumerate(ALL)}


def width_of(metric: Metric) -> int:
    """Return how many cells one label set of the metric takes."""
    return len(metric.buckets) + 2 if metric.kind is Kind.HISTOGRAM else 1


def is_dynamic(metric: Metric) -> bool:
    """Return whether the metric's label sets only show at run time."""
    return not metric.known_label_sets()


def other_labels(metric: Metric) -> Labels:
    """Return the label set into which a dynamic metric's overflow goes."""
    return (OTHER,) * len(metric.labels)


class Entry(NamedTuple):
    """One label set and where its cells are.

    Attributes:
        metric: what is measured.
        labels: label values.
        offset: index of the first cell in the row.
        width: number of cells.
    """

    metric: Metric
    labels: Labels
    offset: int
    width: int


def _static_entries() -> tuple[Entry, ...]:
    entries, used = [], 0
    for metric in ALL:
        width = width_of(metric)
        for labels in metric.known_label_sets():
            entries.append(Entry(metric, labels, used, width))
            used += width
    return tuple(entries)


STATIC: Final = _static_entries()
"""The entries with which every row begins."""
STATIC_CELLS: Final = sum(entry.width for entry in STATIC)


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of a row.

    Attributes:
        entries: label sets that it can hold; more than the known ones.
        cells: numbers that it can hold.
    """

    entries: int
    cells: int

    @property
    def size_bytes(self) -> int:
        """The row's size, a multiple of ``HEAD_BYTES``."""
        raw = HEAD_BYTES + self.entries * _ENTRY_BYTES + self.cells * WORD_BYTES
        return -(-raw // HEAD_BYTES) * HEAD_BYTES


ROW: Final = Shape(entries=3072, cells=12288)
"""Room for 100 routes with three methods and six status codes each, and more."""
RETIRED: Final = Shape(entries=4 * ROW.entries, cells=4 * ROW.cells)
"""Larger, since no two workers need have seen the same label sets."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The board's regions.

    Attributes:
        rows: number of workers' rows.
        row: the size of each.
        retired: the size of the retired row.
    """

    rows: int
    row: Shape = ROW
    retired: Shape = RETIRED

    @property
    def size_bytes(self) -> int:
        """The board's size."""
        return self.breakers_at + region_bytes(self.rows)

    @property
    def promises_at(self) -> int:
        """Where the promises begin."""
        return self.row_at(self.rows)

    @property
    def breakers_at(self) -> int:
        """Where the breakers begin."""
        return self.promises_at + self.promises_bytes

    @property
    def promises_bytes(self) -> int:
        """The size of the promises' region: for each lane a ring, and a best rate per row."""
        return len(Lane) * (words_for(self.rows) + self.rows) * WORD_BYTES

    @property
    def retired_at(self) -> int:
        """Where the retired row begins."""
        return HEAD_BYTES

    def row_at(self, index: int) -> int:
        """Return where a worker's row begins."""
        return self.retired_at + self.retired.size_bytes + index * self.row.size_bytes


class BoardHead:
    """The board's own words. Written by the arbiter alone.

    Args:
        memory: the whole board.
    """

    def __init__(self, memory: memoryview) -> None:
        self._words = memory[:HEAD_BYTES].cast("Q")

    @property
    def sequence(self) -> int:
        """Odd while a row is being retired."""
        return self._words[0]

    @sequence.setter
    def sequence(self, value: int) -> None:
        self._words[0] = value


class RowMemory:
    """One row's words, entries and cells; no rule about who may write them.

    Args:
        memory: exactly the row.
        shape: its size.

    Attributes:
        shape: its size.
        cells: its numbers.
    """

    __slots__ = ("_directory", "_floats", "_words", "cells", "shape")

    def __init__(self, memory: memoryview, shape: Shape) -> None:
        self.shape = shape
        self._words = memory[:HEAD_BYTES].cast("Q")
        self._floats = memory[:HEAD_BYTES].cast("d")
        cells_end = shape.size_bytes
        cells_at = cells_end - shape.cells * WORD_BYTES
        # The directory takes what is left between, so the cells stay aligned.
        self._directory = memory[HEAD_BYTES:cells_at]
        self.cells = memory[cells_at:cells_end].cast("d")

    @property
    def generation(self) -> int:
        """Odd while a worker owns the row; one more at each claim and each retirement."""
        return self._words[0]

    @generation.setter
    def generation(self, value: int) -> None:
        self._words[0] = value

    def turn(self) -> None:
        """Begin the next generation."""
        self.generation = (self.generation + 1) % TURNS

    @property
    def owned(self) -> bool:
        """Whether a worker owns the row."""
        return self._words[0] % 2 == 1

    @property
    def pid(self) -> int:
        """The owner's process id."""
        return self._words[1]

    @pid.setter
    def pid(self, value: int) -> None:
        self._words[1] = value

    @property
    def heartbeat_s(self) -> float:
        """When the owner last said that it lives."""
        return self._floats[2]

    @heartbeat_s.setter
    def heartbeat_s(self, value: float) -> None:
        self._floats[2] = value

    @property
    def count(self) -> int:
        """Number of entries that are written."""
        return self._words[3]

    @count.setter
    def count(self, value: int) -> None:
        self._words[3] = value

    def write_entry(self, index: int, entry: Entry, labels: bytes) -> None:
        """Write an entry that no reader sees before ``count`` is raised.

        Args:
            index: its place, < ``shape.entries``.
            entry: what to write.
            labels: ``encode_labels(entry.labels)``.
        """
        rest = _REST.pack(METRIC_INDEX[entry.metric], len(labels), entry.offset) + labels
        at = index * _ENTRY_BYTES
        self._directory[at + _CHECKSUM.size : at + _CHECKSUM.size + len(rest)] = rest
        _CHECKSUM.pack_into(self._directory, at, crc32(rest))

    def read_entry(self, index: int) -> Entry | None:
        """Return an entry, or None where it is not (yet) whole."""
        at = index * _ENTRY_BYTES
        raw = bytes(self._directory[at : at + _ENTRY_BYTES])
        (checksum,) = _CHECKSUM.unpack_from(raw)
        metric_index, length, offset = _REST.unpack_from(raw, _CHECKSUM.size)
        if crc32(raw[_CHECKSUM.size : _LABELS_AT + length]) != checksum:
            return None
        metric = ALL[metric_index]
        labels = _decode_labels(raw[_LABELS_AT : _LABELS_AT + length])
        return Entry(metric, labels, offset, width_of(metric))


def encode_labels(labels: Labels) -> bytes | None:
    """Return the labels as an entry holds them; None where they are too long."""
    parts = []
    for label in labels:
        text = label.encode()
        if len(text) > _ONE_LABEL_MAX:
            return None
        parts += [bytes((len(text),)), text]
    encoded = b"".join(parts)
    return encoded if len(encoded) <= LABEL_BYTES_MAX else None


def _decode_labels(raw: bytes) -> Labels:
    labels, at = [], 0
    while at < len(raw):
        end = at + 1 + raw[at]
        labels.append(raw[at + 1 : end].decode())
        at = end
    return tuple(labels)
