"""What another wait budget would have done to the requests that came. Pure."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from guard.status.histogram import count_over

if TYPE_CHECKING:
    from collections.abc import Sequence

GRID_S: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75,
    1.0, 1.5, 2.5, 5.0, 10.0,
)  # fmt: skip
"""The budgets that are tried, seconds."""
ASSUMPTION: Final = (
    "The same requests come with the same hold times; an admitted request's measured wait stands "
    "for the predicted one; refusals were predicted as the sampled ones were; a queue that is "
    "full stays full."
)


class Seen(NamedTuple):
    """What a lane has seen.

    Attributes:
        bounds: of the wait histogram, seconds.
        waits: the admitted requests' waits per bucket.
        admitted: admitted requests; those that never asked for a connection have no wait.
        shed_by_wait: refusals because of the wait or the queue (``pool_saturated``).
        shed_otherwise: refusals for other reasons; no budget changes them.
        predicted: predicted waits of sampled refusals of the first kind, and how many refusals
            each stands for; ``inf`` where no budget would have admitted it.
        budget_s: the budget in force.
    """

    bounds: Sequence[float]
    waits: Sequence[float]
    admitted: float
    shed_by_wait: float
    shed_otherwise: float
    predicted: Sequence[tuple[float, float]]
    budget_s: float


class Step(NamedTuple):
    """One budget and what it would have done.

    Attributes:
        budget_s: the budget.
        shed: requests that would have been shed.
    """

    budget_s: float
    shed: float


def steps(seen: Seen) -> list[Step]:
    """Return what each budget of the grid, and the one in force, would have done; ascending."""
    return [Step(budget_s, _shed(seen, budget_s)) for budget_s in sorted({*GRID_S, seen.budget_s})]


def _shed(seen: Seen, budget_s: float) -> float:
    if budget_s < seen.budget_s:
        # Whoever was refused with the larger budget would be with the smaller one.
        over = min(count_over(seen.bounds, seen.waits, budget_s), seen.admitted)
        return seen.shed_otherwise + seen.shed_by_wait + over
    return seen.shed_otherwise + seen.shed_by_wait * _share_over(seen, budget_s)


def _share_over(seen: Seen, budget_s: float) -> float:
    total = sum(weight for _, weight in seen.predicted)
    if budget_s == seen.budget_s or total <= 0:
        return 1.0
    over = sum(weight for wait_s, weight in seen.predicted if wait_s > budget_s)
    return over / total


def predicted_wait(wait_s: float, queued: int, waiters_max: int) -> float:
    """Return a refusal's wait for ``Seen.predicted``: ``inf`` where the queue was full."""
    return inf if queued >= waiters_max else wait_s
