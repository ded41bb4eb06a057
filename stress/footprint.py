"""What the service's processes hold: memory, descriptors, threads (Linux)."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path
from statistics import median
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PAGE_BYTES: Final = resource.getpagesize()


class Footprint(NamedTuple):
    """What some processes hold together at a moment.

    Attributes:
        at_s: when, seconds from the beginning.
        pids: the processes.
        rss_bytes: their resident memory; a page that several share counts in each.
        files: their open descriptors.
        threads: their threads.
    """

    at_s: float
    pids: tuple[int, ...]
    rss_bytes: int
    files: int
    threads: int


def footprint(pids: Sequence[int], at_s: float) -> Footprint:
    """Return what processes hold now; one that has gone holds nothing."""
    rss_bytes = files = threads = 0
    for pid in pids:
        folder = Path(f"/proc/{pid}")
        with suppress(OSError):
            rss_bytes += int((folder / "statm").read_text().split()[1]) * _PAGE_BYTES
            files += len(list((folder / "fd").iterdir()))
            threads += len(list((folder / "task").iterdir()))
    return Footprint(at_s, tuple(pids), rss_bytes, files, threads)


class Watch:
    """Takes a footprint again and again in a thread of its own. Use as a context manager.

    Args:
        pids: gives the processes.
        every_s: how often, seconds.

    Attributes:
        seen: the footprints so far, the oldest first.
    """

    def __init__(self, pids: Callable[[], Sequence[int]], every_s: float = 1.0) -> None:
        self._pids = pids
        self._every_s = every_s
        self._over = Event()
        self._begun_s = monotonic()
        self._thread = Thread(target=self._run, name="footprint", daemon=True)
        self.seen: list[Footprint] = []

    def __enter__(self) -> Self:
        """Begin."""
        self._begun_s = monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def now_s(self) -> float:
        """Return the time since the beginning, seconds."""
        return monotonic() - self._begun_s

    def _run(self) -> None:
        over = False
        while not over:
            over = self._over.wait(self._every_s)
            self.seen.append(footprint(self._pids(), self.now_s()))


def typical(seen: Sequence[Footprint]) -> Footprint:
    """Return the medians of some footprints.

    Raises:
        ValueError: there is none.
    """
    if not seen:
        raise ValueError("nothing was seen")
    return Footprint(
        seen[-1].at_s,
        seen[-1].pids,
        round(median(one.rss_bytes for one in seen)),
        round(median(one.files for one in seen)),
        round(median(one.threads for one in seen)),
    )
