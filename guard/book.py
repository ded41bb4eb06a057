"""The appointment book's shell: one page per lane, the clock, the locks, the metrics."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Protocol

from guard import metrics
from guard.core import appointments
from guard.core.appointments import Pace, Second
from guard.core.promise_ring import QUARTERS, SECONDS
from guard.core.vocabulary import Lane

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guard.clock import Clock
    from guard.core.promise_ring import PromiseRing
    from guard.events import Decided, Recorder


class Host(Protocol):
    """What the workers of a host share."""

    def look(self) -> tuple[Mapping[Lane, Decided], int]:
        """Return what all workers decided, by lane, and how many of them live."""
        ...

    def ring(self, lane: Lane) -> PromiseRing:
        """Return the lane's promises."""
        ...

    def best_per_s(self, lane: Lane) -> float:
        """Return the best rate that any worker has told, requests per second."""
        ...

    def tell_best(self, lane: Lane, best_per_s: float) -> None:
        """Tell the best rate that this worker knows of."""
        ...


class AppointmentBook:
    """Promises seconds to refused clients, with all workers of the host. Thread-safe.

    **How far it can over-promise.** A worker reads the sum of all promises for a second, then
    adds one of its own; nothing excludes the others in between. Each of them can be in that gap
    with one promise (its own threads wait for its lock), so with W workers a second that the
    book calls free ends with at most ``spare + W - 1`` promises. The workers' ideas of ``spare``
    come from the same counters, read within 0.2 s of each other.

    Args:
        host: what the workers share.
        clock: the monotonic clock, which all workers share.
        draw: gives uniform random numbers in ``[0, 1)``.
        recorder: takes the promises due and kept.
        low_s: smallest answer, whole seconds.
        high_s: largest answer, whole seconds, < 64.
    """

    def __init__(
        self,
        host: Host,
        clock: Clock,
        draw: Callable[[], float],
        recorder: Recorder,
        low_s: int,
        high_s: int,
    ) -> None:
        self._host = host
        self._now_s = clock.now_s
        self._draw = draw
        self._record = recorder
        self._bounds_s = low_s, high_s
        self._second = int(clock.now_s())
        decided, _ = host.look()
        self._pages = {
            lane: _Page(host.ring(lane), decided[lane], host.best_per_s(lane)) for lane in Lane
        }

    def configure(self, low_s: int, high_s: int) -> None:
        """Answer within other bounds from now on; never blocks."""
        self._bounds_s = low_s, high_s

    def appoint(self, lane: Lane, not_before_s: float, *, outage: bool) -> int:
        """Return the seconds after which a client shall come back, and note the promise.

        Args:
            lane: which it was refused from.
            not_before_s: seconds until the next probe, or until the queue has drained.
            outage: whether the lane's database is away.
        """
        now_s, page = self._now_s(), self._pages[lane]
        first_s, last_s = appointments.window(not_before_s, *self._bounds_s, outage=outage)
        now = int(now_s)
        quarter = int((now_s - now) * QUARTERS)
        return page.promise(now + first_s, now + last_s, quarter, self._draw()) - now

    def look(self, bounds_per_s: Mapping[Lane, float]) -> None:
        """Take in the seconds that have passed; to be called some times in each, by one thread.

        Args:
            bounds_per_s: for each lane, what this worker's slots can serve per second; 0 where
                there are none now.
        """
        now = int(self._now_s())
        passed = range(max(self._second, now - SECONDS + 1), now)
        if not passed:
            return
        self._second = now
        decided, workers = self._host.look()
        for lane, page in self._pages.items():
            known = page.pace.best_per_s
            due, kept = page.turn(passed, decided[lane], bounds_per_s[lane] * workers)
            self._record.add(metrics.RETRY_PROMISES_DUE, (lane.value,), due)
            self._record.add(metrics.RETRY_PROMISES_KEPT, (lane.value,), kept)
            if page.pace.best_per_s != known:
                self._host.tell_best(lane, page.pace.best_per_s)


class _Page:
    """One lane's promises and pace."""

    def __init__(self, ring: PromiseRing, decided: Decided, best_per_s: float) -> None:
        self._lock = Lock()
        self._ring = ring
        self._decided = decided
        self._bound_per_s = 0.0
        self._spare = 0
        # For each quarter: seconds from the first up to, not including, the other are full.
        self._full = [(0, 0)] * QUARTERS
        self.pace = Pace(best_per_s=best_per_s)

    def promise(self, first: int, last: int, quarter: int, draw: float) -> int:
        """Promise one of the seconds to a client and return it."""
        with self._lock:
            second = self._free(first, last, quarter) if self._spare else None
            if second is None:
                second = appointments.spread(draw, first, last)
            self._ring.promise(second, quarter)
        return second

    def _free(self, first: int, last: int, quarter: int) -> int | None:
        full_from, second = self._full[quarter]
        if not full_from <= first <= second:
            full_from = second = first
        while second <= last:
            if appointments.has_room(*self._ring.counts(second, quarter), self._spare):
                break
            second += 1
        # Until the next look at the spare capacity what is full stays full.
        self._full[quarter] = full_from, second
        return second if second <= last else None

    def turn(self, passed: range, decided: Decided, bound_per_s: float) -> tuple[float, float]:
        """Take in the seconds that have passed; return this worker's promises due and kept."""
        told = [
            (now - before) / len(passed) for now, before in zip(decided, self._decided, strict=True)
        ]
        self._decided = decided
        if not all(0.0 <= rate < appointments.RATE_MAX_PER_S for rate in told):
            return 0.0, 0.0  # somebody else has written into the board; it says nothing now
        arrived, served, crowded_out = told
        # While the database is away there are no slots to tell of.
        self._bound_per_s = bound_per_s or self._bound_per_s
        due = kept = 0.0
        for number in passed:
            second = Second(arrived, served, crowded_out, self._ring.promised(number))
            self.pace = appointments.observe(self.pace, second)
            mine = appointments.kept(second._replace(promised=self._ring.own(number)))
            due, kept = due + mine[0], kept + mine[1]
        with self._lock:
            self._spare = appointments.spare_per_s(self.pace, self._bound_per_s)
            self._full = [(0, 0)] * QUARTERS
        return due, kept
