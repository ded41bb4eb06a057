"""A stampede's plan and what came of it: tries in, figures out. Pure."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

BOOK: Final = "book"
CONSTANT: Final = "constant"
REMAINING: Final = "remaining time"
POLICIES: Final = (BOOK, CONSTANT, REMAINING)
"""The book; the same seconds for everybody; the outage's true remaining time for everybody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What happens in a run, times in seconds from its beginning.

    Attributes:
        rate_per_s: fresh requests per second.
        capacity_per_s: what the service can serve.
        clients: who send them, each on his own.
        tries: how often a request is sent at most.
        outage_at_s: when the database goes.
        outage_s: for how long.
        length_s: when the last fresh request comes.
        constant_s: what the constant policy tells.
        retry_after_max_s: the book's horizon.
    """

    rate_per_s: float = 100.0
    capacity_per_s: float = 200.0
    clients: int = 1000
    tries: int = 3
    outage_at_s: float = 20.0
    outage_s: float = 30.0
    length_s: float = 120.0
    constant_s: int = 5
    retry_after_max_s: int = 60

    @property
    def back_s(self) -> float:
        """When the database is back."""
        return self.outage_at_s + self.outage_s

    def away(self, at_s: float) -> bool:
        """Return whether the database is away at a time."""
        return self.outage_at_s <= at_s < self.back_s

    def left_s(self, at_s: float) -> float:
        """Return for how long it will still be away."""
        return max(0.0, self.back_s - at_s) if at_s >= self.outage_at_s else 0.0

    def arrivals(self, seed: int) -> list[float]:
        """Return when each fresh request is due, ascending.

        Each client sends as a Poisson process of its own, whatever became of its last request.
        """
        dues = []
        for client in range(self.clients):
            dice = random.Random(f"{seed}/{client}")
            due_s = dice.expovariate(self.rate_per_s / self.clients)
            while due_s < self.length_s:
                dues.append(due_s)
                due_s += dice.expovariate(self.rate_per_s / self.clients)
        return sorted(dues)


@dataclass(frozen=True, slots=True)
class Try:
    """One sending of a request.

    Attributes:
        request: which one.
        number: the try, from 1.
        at_s: when it was sent, seconds from the run's beginning.
        served: whether it got its answer.
        told_s: the refusal's Retry-After; 0 without one.
    """

    request: int
    number: int
    at_s: float
    served: bool
    told_s: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """All tries of a run.

    Attributes:
        tries: in the order in which they ended.
        capacity_per_s: what the service could serve.
        plan: what was to happen.
        due: ``guard_retry_promises_due_total`` at the end.
        kept: ``guard_retry_promises_kept_total`` at the end.
    """

    tries: Sequence[Try]
    capacity_per_s: float
    plan: Plan
    due: float = 0.0
    kept: float = 0.0


@dataclass(frozen=True, slots=True)
class Figures:
    """A run's summary.

    Attributes:
        requests: fresh requests.
        refused: of these, refused at least once.
        met_outage: of these, first sent while the database was away.
        met_served_ratio: the share of those that was served in the end.
        served_ratio: the share of all requests that was served in the end.
        peak_per_s: most requests that came in one second after the return.
        peak_ratio: the same over the capacity.
        first_per_s: requests in the first second after the return.
        sent: tries altogether.
        waited_p50_s: time from first try to answer of those that met the outage, median.
        waited_max_s: the longest.
        kept_ratio: of the tries in their promised second, the share that was served (the truth).
        told_ratio: the same as the two counters tell it; 0 without them.
    """

    requests: int
    refused: int
    met_outage: int
    met_served_ratio: float
    served_ratio: float
    peak_per_s: int
    peak_ratio: float
    first_per_s: int
    sent: int
    waited_p50_s: float
    waited_max_s: float
    kept_ratio: float
    told_ratio: float


def figures(run: Run) -> Figures:
    """Return a run's summary; ratios of nothing are 0."""
    first = {one.request: one.at_s for one in run.tries if one.number == 1}
    served = {one.request: one.at_s for one in run.tries if one.served}
    met = [request for request, at_s in first.items() if run.plan.away(at_s)]
    waits = sorted(served[request] - first[request] for request in met if request in served)
    after = Counter(int(one.at_s - run.plan.back_s) for one in run.tries
                    if one.at_s >= run.plan.back_s)  # fmt: skip
    back = [one for one in run.tries if one.number > 1]
    peak = max(after.values(), default=0)
    return Figures(
        requests=len(first),
        refused=len({one.request for one in run.tries if not one.served}),
        met_outage=len(met),
        met_served_ratio=len(waits) / max(1, len(met)),
        served_ratio=len(served) / max(1, len(first)),
        peak_per_s=peak,
        peak_ratio=peak / run.capacity_per_s,
        first_per_s=after[0],
        sent=len(run.tries),
        waited_p50_s=waits[len(waits) // 2] if waits else 0.0,
        waited_max_s=waits[-1] if waits else 0.0,
        kept_ratio=sum(one.served for one in back) / max(1, len(back)),
        told_ratio=run.kept / run.due if run.due else 0.0,
    )
