"""An outage in virtual time: the real controllers, breakers, book and board, a simulated database.

Seconds of work for minutes of service, and the same seed gives the same run; see
``stress.simulation`` for what is not modelled.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from guard import metrics
from guard.core.vocabulary import Lane
from stress import stampede_plan
from stress.simulation.clients import OBEDIENT
from stress.simulation.database import Service, steady
from stress.simulation.policies.guarded import Host, Setup
from stress.simulation.situation import Situation
from stress.simulation.timeline import AWAY, Stage, Timeline
from stress.simulation.world import World
from stress.stampede_plan import BOOK, CONSTANT, Run
from stress.stampede_told import Told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stress.simulation.clients import Try
    from stress.simulation.policies.base import Policy, Site
    from stress.stampede_plan import Plan

WORKERS: Final = 2
HOLD_S: Final = 0.04
_LANE: Final = Lane.READ


class Simulation(World):
    """One run of a plan with one policy; keeps every try. Not thread-safe.

    Args:
        plan: what happens.
        policy: one of ``stress.stampede_plan.POLICIES``.
        seed: of all that is random in it.
    """

    def __init__(self, plan: Plan, policy: str, seed: int) -> None:
        self._plan = plan
        self._policy = policy
        self._hosts: list[Host] = []
        self._tries: list[stampede_plan.Try] = []
        super().__init__(_situation(plan), self._set_up, seed, iter(plan.arrivals(seed)))

    def _set_up(self, site: Site) -> Sequence[Policy]:
        setup = Setup(retry_after_max_s=self._plan.retry_after_max_s)
        if self._policy == CONSTANT:
            setup = setup._replace(book=lambda: Told(lambda: self._plan.constant_s))
        elif self._policy != BOOK:
            setup = setup._replace(book=lambda: Told(lambda: self._plan.left_s(self.engine.now)))
        self._hosts.append(Host(site, setup))
        return self._hosts[-1].policies

    def result(self) -> Run:
        """Return what became of every request, after the run."""
        value, labels = self._hosts[0].board.value, (_LANE.value,)
        return Run(
            tuple(self._tries), self.situation.capacity_per_s, self._plan,
            value(metrics.RETRY_PROMISES_DUE, labels), value(metrics.RETRY_PROMISES_KEPT, labels),
        )  # fmt: skip

    def answer(self, one: Try) -> None:
        """Keep it."""
        self._keep(one, served=True)
        super().answer(one)

    def try_again(self, one: Try, told_s: float) -> None:
        """Keep it, and try no more where the answer said nothing."""
        self._keep(one, told_s=int(told_s))
        if told_s:
            super().try_again(one, told_s)
        else:
            self.close()

    def _keep(self, one: Try, *, served: bool = False, told_s: int = 0) -> None:
        self._tries.append(
            stampede_plan.Try(one.request, one.number, one.sent_s, served=served, told_s=told_s)
        )


def _situation(plan: Plan) -> Situation:
    slots = max(1, round(plan.capacity_per_s * HOLD_S / WORKERS))
    stages = Timeline([Stage(plan.outage_at_s, AWAY), Stage(plan.back_s, 1.0)])
    return Situation(
        name="stampede", service=Service(steady(HOLD_S), "uniform", stages),
        load=plan.rate_per_s * HOLD_S / (WORKERS * slots), length_s=plan.length_s,
        kinds=(OBEDIENT._replace(tries=plan.tries, timeout_s=inf),), workers=WORKERS, pool=slots,
        threads=5 * slots, waiters=3 * slots, budget_s=0.2,
    )  # fmt: skip


def simulate(plan: Plan, policy: str, seed: int) -> Run:
    """Return what became of every request; the same arguments give the same run."""
    simulation = Simulation(plan, policy, seed)
    simulation.run()
    return simulation.result()
