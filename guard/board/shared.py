"""What a worker shares with its siblings beside its row: promises, the best rate, decisions."""

from __future__ import annotations

from operator import add
from typing import TYPE_CHECKING, Final

from guard.board.layout import STATIC, WORD_BYTES
from guard.core.appointments import CROWDING, RATE_MAX_PER_S
from guard.core.promise_ring import PromiseRing, words_for
from guard.core.vocabulary import Lane
from guard.events import Decided
from guard.metrics import DECISIONS_TOTAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from guard.board.layout import RowMemory

_ENTRIES: Final = [entry for entry in STATIC if entry.metric is DECISIONS_TOTAL]
DECISIONS_AT: Final = _ENTRIES[0].offset
DECISIONS_END: Final = _ENTRIES[-1].offset + 1
_LANES: Final = list(Lane)
_CROWDING: Final = {reason.value for reason in CROWDING}
_SERVED: Final = {"admitted", "would_shed"}


def _places(lane: Lane, decisions: Iterable[str], reasons: set[str] | None = None) -> list[int]:
    wanted = set(decisions)
    return [
        entry.offset - DECISIONS_AT
        for entry in _ENTRIES
        if entry.labels[2] == lane.value
        and entry.labels[0] in wanted
        and (reasons is None or entry.labels[1] in reasons)
    ]


_PLACES: Final = {
    lane: (
        _places(lane, {*_SERVED, "shed"}),
        _places(lane, _SERVED),
        _places(lane, {"shed"}, _CROWDING),
    )
    for lane in Lane
}


def decided(rows: Iterable[RowMemory]) -> dict[Lane, Decided]:
    """Return what was decided about each lane's requests, summed over rows."""
    totals = [0.0] * (DECISIONS_END - DECISIONS_AT)
    for row in rows:
        totals = list(map(add, totals, row.cells[DECISIONS_AT:DECISIONS_END].tolist()))
    return {
        lane: Decided(*(sum(totals[place] for place in places) for places in _PLACES[lane]))
        for lane in Lane
    }


class Shared:
    """One worker's side of what all workers share; a ``guard.book.Host``.

    Each worker writes its own words alone. Nothing is wiped or folded when it dies: its promises
    hold until their second has passed, and its best rate is what its successors start from.

    Args:
        region: the board's region of promises.
        writers: how many rows the board has.
        writer: the worker's row.
        look: gives the decisions of all rows, and how many workers own one.
    """

    def __init__(
        self,
        region: memoryview,
        writers: int,
        writer: int,
        look: Callable[[], tuple[Mapping[Lane, Decided], int]],
    ) -> None:
        size, best_at = len(region) // len(_LANES), words_for(writers) * WORD_BYTES
        parts = [region[at : at + size] for at in range(0, len(region), size)]
        self._rings = {
            lane: PromiseRing(part[:best_at].cast("Q"), writers, writer)
            for lane, part in zip(_LANES, parts, strict=True)
        }
        self._best = {
            lane: part[best_at:].cast("d") for lane, part in zip(_LANES, parts, strict=True)
        }
        self._writer = writer
        self.look = look

    def ring(self, lane: Lane) -> PromiseRing:
        """Return the lane's promises."""
        return self._rings[lane]

    def best_per_s(self, lane: Lane) -> float:
        """Return the best rate that any worker, living or dead, has told; 0 where none has.

        What no host can do was told by nobody.
        """
        return max(
            (rate for rate in self._best[lane].tolist() if 0 < rate < RATE_MAX_PER_S), default=0.0
        )

    def tell_best(self, lane: Lane, best_per_s: float) -> None:
        """Tell the best rate that this worker knows of."""
        self._best[lane][self._writer] = best_per_s

    def leave(self) -> None:
        """Go on with memory of its own, in a process that was forked from the worker."""
        for ring in self._rings.values():
            ring.detach()
        self._best = {
            lane: memoryview(bytearray(one)).cast("d") for lane, one in self._best.items()
        }
