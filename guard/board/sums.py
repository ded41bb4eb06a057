"""The reader's side: what entries a row has, and totals over rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from operator import add
from typing import TYPE_CHECKING, Final, cast

from guard.board.layout import OTHER, ROUTE, STATIC, STATIC_CELLS
from guard.metrics import ALL, Kind, Merge, Metric, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.board.layout import Entry, Labels, RowMemory

_STATIC_OF: Final = {m: [entry for entry in STATIC if entry.metric is m] for m in ALL}


def _least(one: float, other: float) -> float:
    return min(one, other) if one > 0.0 < other else max(one, other)


_Join = Callable[[float, float], float]
_JOINS: Final[Mapping[Merge, _Join]] = {Merge.SUM: add, Merge.MAX: max, Merge.LEAST: _least}


def _join_of(entry: Entry) -> _Join:
    gauge = entry.metric.kind is Kind.GAUGE
    return _JOINS[entry.metric.merge_of(entry.labels)] if gauge else add


_UNSUMMED: Final = {entry.offset: join for entry in STATIC if (join := _join_of(entry)) is not add}
"""Cells of the known label sets that are merged otherwise than by their sum."""


class Directory:
    """A row's entries as they were seen; immutable.

    The known label sets are in every row, so only the others are read from memory.

    Args:
        generation: the row's generation for which it holds.
        appended: the entries after the known ones.

    Attributes:
        generation: the row's generation for which it holds.
        appended: the entries after the known ones.
        routes: the values of labels named ``route``.
        used: number of cells that the entries take.
    """

    __slots__ = ("appended", "generation", "routes", "used")

    def __init__(self, generation: int, appended: tuple[Entry, ...] = ()) -> None:
        self.generation = generation
        self.appended = appended
        self.routes = frozenset(
            entry.labels[entry.metric.labels.index(ROUTE)]
            for entry in appended
            if ROUTE in entry.metric.labels
        ) - {OTHER}
        self.used = appended[-1].offset + appended[-1].width if appended else STATIC_CELLS

    def __iter__(self) -> Iterator[Entry]:
        return chain(STATIC, self.appended)

    def extended(self, memory: RowMemory) -> Directory:
        """Return this directory with the entries that the row has got since."""
        found = []
        # No more than there can be, whatever has been written over the count.
        count = min(memory.count, memory.shape.entries)
        for index in range(len(STATIC) + len(self.appended), count):
            entry = memory.read_entry(index)
            if entry is None:
                break  # the writer's stores are not all visible here yet
            found.append(entry)
        return Directory(self.generation, (*self.appended, *found)) if found else self


class Totals:
    """Sums rows. Not thread-safe."""

    def __init__(self) -> None:
        self._static = [0.0] * STATIC_CELLS
        self._unsummed: dict[int, float] = {}
        self._appended: dict[Metric, dict[Labels, list[float]]] = {metric: {} for metric in ALL}

    def add(self, directory: Directory, memory: RowMemory) -> None:
        """Add a row's values.

        Args:
            directory: the row's entries.
            memory: the row.
        """
        # typeshed says list[int], whatever the format.
        values = cast("list[float]", memory.cells[: directory.used].tolist())
        # Most cells are those of the known label sets, at one place in every row.
        self._static = list(map(add, self._static, values))
        if memory.owned:
            self._merge(values)
        for entry in directory.appended:
            known = self._appended[entry.metric]
            mine = values[entry.offset : entry.offset + entry.width]
            old = known.get(entry.labels)
            merge = _join_of(entry)
            known[entry.labels] = mine if old is None else list(map(merge, old, mine))

    def _merge(self, values: list[float]) -> None:
        for at, merge in _UNSUMMED.items():
            self._unsummed[at] = merge(self._unsummed.get(at, values[at]), values[at])

    def put(self, metric: Metric, labels: Labels, value: float) -> None:
        """Say what a gauge with known label sets is, whatever the rows say."""
        for entry in _STATIC_OF[metric]:
            if entry.labels == labels:
                self._static[entry.offset] = value
                self._unsummed[entry.offset] = value

    def samples(self) -> list[Sample]:
        """Return a sample for each label set, metrics in the order of the table."""
        found = []
        for metric in ALL:
            found += [
                _sample(metric, entry.labels, self._static_values(entry))
                for entry in _STATIC_OF[metric]
            ]
            found += [
                _sample(metric, labels, values) for labels, values in self._appended[metric].items()
            ]
        return found

    def value(self, metric: Metric, labels: Labels) -> float:
        """Return one label set's total, of a histogram the sum; 0 where it is unknown."""
        for entry in _STATIC_OF.get(metric, ()):
            if entry.labels == labels:
                return self._static_values(entry)[0]
        return self._appended.get(metric, {}).get(labels, [0.0])[0]

    def _static_values(self, entry: Entry) -> list[float]:
        if entry.offset in _UNSUMMED:
            return [self._unsummed.get(entry.offset, 0.0)]
        return self._static[entry.offset : entry.offset + entry.width]


def _sample(metric: Metric, labels: Labels, values: list[float]) -> Sample:
    return Sample(metric, labels, values[0], tuple(values[1:]))
