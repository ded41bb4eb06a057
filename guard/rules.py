"""What the operator sets for the controller, and what it is asked and tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from guard.core.priority import Shares, limits_by_class
from guard.core.vocabulary import Mode, QueueOrder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.core.admission import Limits
    from guard.core.vocabulary import Lane, Priority

WAIT_BOUND_FACTOR: Final = 4
"""The exact gate waits this many budgets at most: the prediction is a mean, and an exponential
wait stays below four times its mean in 98 % of the cases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the operator sets; see ``guard.settings`` for ranges.

    Attributes:
        lanes: each lane's limits.
        mode: enforce, shadow or off.
        deadline_s: longest time from accept to answer, seconds.
        statement_timeout_s: longest run of one unit of work, seconds.
        retry_after_min_s: smallest Retry-After, whole seconds.
        retry_after_max_s: largest Retry-After, whole seconds.
        shares: what each class of requests may use of a lane; None where all are alike.
        fair: whether clients are counted, and those that ask for too much held back.
        queue_order: whom a free connection goes to.
    """

    lanes: Mapping[Lane, Limits]
    mode: Mode = Mode.ENFORCE
    deadline_s: float = 10.0
    statement_timeout_s: float = 5.0
    retry_after_min_s: int = 1
    retry_after_max_s: int = 60
    shares: Shares | None = None
    fair: bool = False
    queue_order: QueueOrder = QueueOrder.ARRIVAL

    def arrivals_target_s(self) -> float:
        """Return the age over which the queue in front of the application stands, seconds."""
        return min(limits.wait_budget_s for limits in self.lanes.values()) / 2

    def classes(self, limits: Limits) -> dict[Priority, Limits] | None:
        """Return each class's limits within a lane's; None where all requests are alike."""
        # A greedy client is held back by being put into a lower class.
        if self.shares is None and not self.fair:
            return None
        return limits_by_class(limits, self.shares or Shares())


class Book(Protocol):
    """What finds the seconds in which shed requests shall come back; ``guard.book`` has one."""

    def appoint(self, lane: Lane, not_before_s: float, *, outage: bool) -> int:
        """Return whole seconds >= 1.

        Args:
            lane: which the request was shed from.
            not_before_s: seconds until the next probe, or until the queue has drained.
            outage: whether the lane's database is away.
        """
        ...

    def look(self, bounds_per_s: Mapping[Lane, float]) -> None:
        """Take in what has happened.

        Args:
            bounds_per_s: what each lane's slots can serve per second; 0 without any.
        """
        ...


class LaneLoad(NamedTuple):
    """A lane's figures at one moment, for gauges.

    Attributes:
        in_flight: permits held.
        unfinished: of these, requests that still need their connection.
        hold_s: moving average of the hold time, seconds.
        uses: uses of a slot that have ended, in total.
        used_s: the sum of their hold times, seconds.
    """

    in_flight: int
    unfinished: int
    hold_s: float
    uses: int
    used_s: float
