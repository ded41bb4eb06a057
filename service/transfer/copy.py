"""The order of the work: copy, index, verify; online also catch up, shut, verify again, move."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from guard.errors import GuardError
from service.transfer.source import Source, TransferError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from service.transfer.progress import Progress
    from service.transfer.source import Piece
    from service.transfer.target import Target

PIECE_ROWS: Final = 10_000
"""Rows that are copied, checked and committed together: some megabytes of text."""

_PASSES_MAX: Final = 10
_SMALL_ROWS: Final = 500
_SKEW_S: Final = 2
"""A key made within a second that was being read may have been missed."""
_PURGE_MARGIN_S: Final = 3600
"""Expired keys are forgotten while both sides are compared, for at most so long."""
_NAMES: Final = ("warriors", "idempotency keys")


class Served(Source, Protocol):
    """A source whose owner goes on serving."""

    def shut(self) -> None:
        """Shed writes from now on; returns when those under way have ended.

        They are taken again when the connection ends, unless ``mark_moved`` was called.
        """
        ...

    def mark_moved(self, to: str) -> None:
        """Shed writes for ever, and keep every service from opening the file again."""
        ...


class Copied(NamedTuple):
    """What was copied.

    Attributes:
        warriors: how many the source has.
        keys: how many unexpired ones it has.
        pause_s: how long writes were shed before the data counted as moved; 0 offline.
    """

    warriors: int
    keys: int
    pause_s: float = 0.0


class Copying:
    """One copy from ``source`` to ``target``. Not thread-safe.

    Args:
        source: read only.
        target: filled; see ``Target.begin``.
        progress: hears of each step.
        piece_rows: see ``PIECE_ROWS``.
    """

    def __init__(
        self, source: Source, target: Target, progress: Progress, piece_rows: int = PIECE_ROWS
    ) -> None:
        self._piece_rows = piece_rows
        self._source = source
        self._target = target
        self._progress = progress
        self._next_row = 0
        self._keys_since_s = 0
        self._merge = False

    def offline(self, *, merge: bool) -> Copied:
        """Copy everything, and let services open the target.

        Raises:
            GuardError: it failed; what was copied stays, and a second run goes on with it.
        """
        self._all(merge=merge)
        extent = self._source.extent()
        self._verify(extent.live_since_s, extent.now_s + 1)
        copied = self._count()
        self._target.finish()
        return copied

    def online(self, served: Served, now_s: Callable[[], float], *, merge: bool) -> Copied:
        """Copy everything while the service goes on, shut it for writes, and copy the rest.

        On return the data counts as moved: the old service sheds every write.

        Raises:
            GuardError: it failed, and writes are taken again; or, where the message says so, the
                data is moved and a second run has to finish.
        """
        self._all(merge=merge)
        # Of the keys those that stay as they are: not made, renewed or forgotten meanwhile.
        since_s = self._source.extent().live_since_s + _PURGE_MARGIN_S
        self._verify(since_s, self._keys_since_s)
        for _ in range(_PASSES_MAX):
            if self._pass() <= _SMALL_ROWS:
                break
        self._progress.step("writes are shed, and the last rows are copied")
        began_s = now_s()
        served.shut()
        self._pass()
        copied = self._count()
        served.mark_moved(self._target.name)
        pause_s = now_s() - began_s
        try:
            self._target.finish()
        except GuardError as error:
            raise TransferError(
                f"the data is moved, but no service can open {self._target.name} yet: {error}; "
                "run the same command again"
            ) from error
        return copied._replace(pause_s=pause_s)

    def _all(self, *, merge: bool) -> None:
        begun = self._target.begin(self._source.name, merge=merge)
        self._merge, self._next_row = begun
        if self._next_row:
            self._progress.step(f"goes on with row {self._next_row:,}")
        self._pass()
        self._progress.step("the search index is built")
        self._target.build_index()

    def _pass(self) -> int:
        """Copy what is there and was not copied yet; return how many rows that were."""
        extent = self._source.extent()
        rows = 0
        for end, piece in self._pieces(extent.end_row):
            self._target.load_warriors(piece, end)
            self._next_row = end
            rows += piece.digest.rows
            self._progress.at("warriors", end, extent.end_row)
        rows += self._copy_keys(max(self._keys_since_s, extent.live_since_s))
        self._keys_since_s = extent.now_s - _SKEW_S
        return rows

    def _pieces(self, end_row: int) -> Iterator[tuple[int, Piece]]:
        """Yield each piece and its end; the next is read while one is loaded."""
        firsts = range(self._next_row, end_row, self._piece_rows)
        ends = [min(first + self._piece_rows, end_row) for first in firsts]
        ahead: deque[tuple[int, Future[Piece]]] = deque()
        with ThreadPoolExecutor(max_workers=1) as reader:
            for first, end in zip(firsts, ends, strict=True):
                ahead.append((end, reader.submit(self._source.warriors, first, end)))
                if len(ahead) > 1:
                    before, piece = ahead.popleft()
                    yield before, piece.result()
            for end, piece in ahead:
                yield end, piece.result()

    def _copy_keys(self, since_s: int) -> int:
        rows, last_key = 0, ""
        while (piece := self._source.keys(since_s, last_key, self._piece_rows)).digest.rows:
            self._target.load_keys(piece)
            rows, last_key = rows + piece.digest.rows, piece.last_key
        return rows

    def _verify(self, since_s: int, before_s: int) -> None:
        if self._merge:
            return  # each piece was compared; the target has other rows too
        self._progress.step("both sides are compared")
        theirs = self._source.whole(self._next_row, since_s, before_s)
        ours = self._target.whole(since_s, before_s)
        if ours == theirs:
            return
        self._target.forget_progress()
        told = "; ".join(
            f"{name}: {sent} in the source, {found} in the target"
            for name, sent, found in zip(_NAMES, theirs, ours, strict=True)
            if sent != found
        )
        raise TransferError(f"the copy differs ({told}); a new run copies every row again")

    def _count(self) -> Copied:
        since_s = self._source.extent().live_since_s
        theirs, ours = self._source.counts(since_s), self._target.counts(since_s)
        if ours != theirs and not self._merge:
            raise TransferError(f"the source has {theirs} warriors and keys, the target {ours}")
        return Copied(*theirs)
