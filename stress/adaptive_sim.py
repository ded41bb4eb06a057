"""A database that slows with concurrency, in virtual time, with and without the search for a limit.

The same seed gives the same run; see ``stress.simulation`` for what is not modelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from stress.simulation.clients import ONCE
from stress.simulation.database import Service
from stress.simulation.policies.guarded import Host, Setup
from stress.simulation.situation import Situation
from stress.simulation.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from stress.simulation.policies.base import Site
    from stress.simulation.policies.guarded import Guarded

BUDGET_S: Final = 0.2


class Case(NamedTuple):
    """A database and what is asked of it.

    Attributes:
        name: for the table.
        text: what it stands for.
        service_s: mean service time with so many in service, at a time: ``f(n, t_s)``.
        pool: each worker's connections.
        offered_per_s: requests per second.
        workers: how many search for a limit, each on its own, in front of the one database.
        length_s: of the run.
    """

    name: str
    text: str
    service_s: Callable[[int, float], float]
    pool: int
    offered_per_s: float
    workers: int = 1
    length_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What became of a case.

    Attributes:
        served_per_s: answers per second over the whole run.
        served_late_per_s: the same over its last third, when the search has had its time.
        p50_s: median time of the admitted, seconds.
        p99_s: 99th percentile.
        limits: each worker's connections in use at the end.
    """

    served_per_s: float
    served_late_per_s: float
    p50_s: float
    p99_s: float
    limits: list[int]


def simulate(case: Case, *, on: bool, seed: int) -> Figures:
    """Return what became of a case; the same arguments give the same figures.

    Args:
        case: what happens.
        on: whether a limit is searched for.
        seed: of all that is random in it; the arrivals are the same with and without.
    """
    policies: list[Guarded] = []

    def maker(site: Site) -> list[Guarded]:
        policies.extend(Host(site, Setup(adaptive=on)).policies)
        return policies

    world = World(_situation(case), maker, seed)
    world.run()
    length_s = case.length_s
    answers = list(world.tally.answers())
    late = sum(2 / 3 * length_s <= end_s < length_s for end_s, _, _ in answers)
    took_s = sorted(took_s for _, took_s, _ in answers)
    return Figures(
        len(took_s) / length_s,
        late / (length_s / 3),
        took_s[len(took_s) // 2],
        took_s[len(took_s) * 99 // 100],
        [policy.limit for policy in policies],
    )


def _situation(case: Case) -> Situation:
    service = Service(case.service_s, "gamma")
    return Situation(
        name=case.name, service=service, length_s=case.length_s,
        load=case.offered_per_s / service.capacity_per_s(case.workers * case.pool),
        kinds=(ONCE._replace(timeout_s=inf),), workers=case.workers, pool=case.pool,
        threads=3 * case.pool, waiters=case.pool, budget_s=BUDGET_S,
    )  # fmt: skip
