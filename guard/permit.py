"""A lane's counters and the permits that are counted in them."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, NamedTuple, Protocol

from guard.core import codel, hold_time
from guard.core.priority import BELOW, patient
from guard.core.shadow import ShadowLane

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guard.core.admission import Decision, Limits, Signals
    from guard.core.fairness import Fairness
    from guard.core.vocabulary import Outcome, Priority


class BreakerGate(Protocol):
    """What the decision needs of a lane's breaker; ``guard.breaker.LaneBreaker`` is one."""

    @property
    def generation(self) -> int:
        """Number of the breaker's current life; outcomes of an older one are ignored."""
        ...

    def admits(self) -> bool:
        """Whether any request may use the database: the early question."""
        ...

    def admits_one(self) -> bool:
        """Whether this one may, asked once per request: while recovering only some of them."""
        ...

    def record(self, outcome: Outcome, generation: int) -> None:
        """Hear how one use of the database ended."""
        ...

    def remaining_s(self) -> float:
        """Seconds until the next probe; 0 while closed."""
        ...


class Refused(NamedTuple):
    """A lane's last refusal.

    Attributes:
        at_s: when it was decided.
        signals: the numbers that decided.
        decision: the verdict.
    """

    at_s: float
    signals: Signals
    decision: Decision


class LaneState:
    """One lane's counters; every field but the constants is guarded by ``lock``.

    Attributes:
        classes: what each class of requests may use of the lane; None where all may use it whole.
        fairness: who of its clients asks for too much; None where nobody counts them.
        shadow: the lane as it would be if shadow mode enforced.
    """

    __slots__ = (
        "breaker", "classes", "codel", "fairness", "hold_s", "in_flight", "limits", "lock",
        "refused", "shadow", "slots", "unfinished", "used_s", "uses",
    )  # fmt: skip

    def __init__(
        self,
        limits: Limits,
        slots: Callable[[], int],
        breaker: BreakerGate | None,
        classes: Mapping[Priority, Limits] | None = None,
        fairness: Fairness | None = None,
    ) -> None:
        self.limits = limits
        self.classes = classes
        self.fairness = fairness
        self.slots = slots
        self.breaker = breaker
        self.lock = Lock()
        self.in_flight = 0
        self.unfinished = 0
        self.uses = 0
        self.used_s = 0.0
        self.hold_s = hold_time.FIRST_GUESS_S
        self.codel = codel.Codel()
        self.shadow = ShadowLane()
        # Read without the lock: it is one store of a whole tuple.
        self.refused: Refused | None = None

    def held(self, held_s: float) -> None:
        """Take in that a slot was held for ``held_s`` seconds; the caller has the lock."""
        self.hold_s = hold_time.update(self.hold_s, held_s)
        self.uses += 1
        self.used_s += held_s

    def limits_for(self, priority: Priority, client: str) -> tuple[Limits, Limits]:
        """Return the limits that decide about a request, and those of its class.

        Args:
            priority: its class; there must be ``classes``.
            client: whose it is.
        """
        classes = self.classes or {}
        own = classes[priority]
        greedy = self.fairness.greedy if self.fairness is not None else ()
        if not greedy:
            return own, own
        if client in greedy:
            return classes[BELOW[priority]], own
        own = patient(own)
        return own, own


class Permit:
    """The right to use a lane, from admission until the response is closed.

    Counts in the lane's ``in_flight`` until ``release``, and in ``unfinished`` while the
    request still needs its connection. Thread-safe; each step happens at most once.
    """

    __slots__ = ("_lane", "_needs_connection", "_released")

    def __init__(self, lane: LaneState) -> None:
        # The caller has counted this permit under the lane's lock.
        self._lane = lane
        self._needs_connection = True
        self._released = False

    def finish(self) -> None:
        """Say that the connection was given back; the permit stays."""
        with self._lane.lock:
            self._finish()

    def resume(self) -> None:
        """Say that the request needs a connection once more."""
        with self._lane.lock:
            if not self._needs_connection and not self._released:
                self._needs_connection = True
                self._lane.unfinished += 1

    def release(self, held_s: float | None = None) -> None:
        """Give the permit back; later calls do nothing.

        Args:
            held_s: how long the slot was held, seconds, where the permit's time is the slot's; of
                no meaning where the slot was given back before (``finish``).
        """
        lane = self._lane
        with lane.lock:
            if self._released:
                return
            self._released = True
            lane.in_flight -= 1
            if held_s is not None and self._needs_connection:
                lane.held(held_s)
            self._finish()

    def _finish(self) -> None:
        if self._needs_connection:
            self._needs_connection = False
            self._lane.unfinished -= 1
