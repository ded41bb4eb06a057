"""A database that slows with concurrency, in virtual time, behind the real controller.

The same seed gives the same run. What is not there: threads, the network, the processor's limits.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from guard.controller import Controller, Rules
from guard.core import adaptive
from guard.core.adaptive import Adaptive
from guard.core.admission import Limits
from guard.core.vocabulary import Lane, Policy
from guard.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.permit import Permit

LOOK_S: Final = 0.2
BUDGET_S: Final = 0.2
_LANE: Final = Lane.READ
_SHAPE: Final = 4
"""Of the service times' gamma distribution: their deviation is half of their mean."""


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


@dataclass(slots=True)
class _Worker:
    controller: Controller
    pool: int
    state: Adaptive = field(default_factory=Adaptive)
    in_service: int = 0
    waiting: deque[tuple[float, Permit]] = field(default_factory=deque)

    def allowed(self) -> int:
        return adaptive.allowed(self.state, self.pool)


class Simulation:
    """One run of a case. Not thread-safe.

    Args:
        case: what happens.
        on: whether a limit is searched for.
        seed: of all that is random in it.
    """

    def __init__(self, case: Case, *, on: bool, seed: int) -> None:
        self._case = case
        self._on = on
        # The same arrivals with and without.
        self._arrivals = random.Random(f"{seed}/{case.name}/arrivals")
        self._random = random.Random(f"{seed}/{case.name}/{on}")
        self._clock = FakeClock()
        self._start_s = self._clock.now_s()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._took: list[tuple[float, float]] = []
        self._workers = [self._worker() for _ in range(case.workers)]

    def _worker(self) -> _Worker:
        pool = self._case.pool
        limits = Limits(Policy.PREDICTIVE, 2 * pool, pool, BUDGET_S)
        found: list[_Worker] = []

        def slots() -> int:
            return found[0].allowed()

        controller = Controller(
            Rules(lanes=dict.fromkeys(Lane, limits)), dict.fromkeys(Lane, slots), clock=self._clock
        )
        found.append(_Worker(controller, pool))
        return found[0]

    def run(self) -> Figures:
        """Return what became of all requests."""
        self._at(0.0, self._arrive)
        self._at(LOOK_S, self._look)
        while self._events:
            at_s, _, event = heapq.heappop(self._events)
            self._clock.advance(max(0.0, at_s - self._now_s()))
            event()
        length_s = self._case.length_s
        late = sum(1 for end_s, _ in self._took if 2 / 3 * length_s <= end_s < length_s)
        took_s = sorted(took_s for _, took_s in self._took)
        return Figures(
            len(took_s) / length_s,
            late / (length_s / 3),
            took_s[len(took_s) // 2],
            took_s[len(took_s) * 99 // 100],
            [worker.allowed() for worker in self._workers],
        )

    def _now_s(self) -> float:
        return self._clock.now_s() - self._start_s

    def _at(self, at_s: float, event: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (at_s, self._count, event))

    def _look(self) -> None:
        now_s = self._now_s()
        for worker in self._workers if self._on else ():
            load = worker.controller.load(_LANE)
            worker.state = adaptive.look(worker.state, worker.pool, load.uses, load.used_s, now_s)
            self._serve(worker)
        if now_s < self._case.length_s:
            self._at(now_s + LOOK_S, self._look)

    def _arrive(self) -> None:
        now_s = self._now_s()
        worker = self._arrivals.choice(self._workers)
        controller = worker.controller
        _, permit = controller.admit(controller.scope(_LANE), _LANE)
        if permit is not None:
            worker.waiting.append((now_s, permit))
            self._serve(worker)
        if now_s < self._case.length_s:
            self._at(now_s + self._arrivals.expovariate(self._case.offered_per_s), self._arrive)

    def _serve(self, worker: _Worker) -> None:
        while worker.waiting and worker.in_service < worker.allowed():
            arrived_s, permit = worker.waiting.popleft()
            worker.in_service += 1
            now_s = self._now_s()
            worker.controller.waited(_LANE, now_s - arrived_s)
            busy = sum(each.in_service for each in self._workers)
            mean_s = self._case.service_s(busy, now_s)
            took_s = self._random.gammavariate(_SHAPE, mean_s / _SHAPE)
            self._at(now_s + took_s, self._end_of(worker, permit, arrived_s, took_s))

    def _end_of(
        self, worker: _Worker, permit: Permit, arrived_s: float, took_s: float
    ) -> Callable[[], None]:
        def end() -> None:
            worker.in_service -= 1
            worker.controller.held(_LANE, took_s)
            permit.finish()
            permit.release()
            self._took.append((self._now_s(), self._now_s() - arrived_s))
            self._serve(worker)

        return end


def simulate(case: Case, *, on: bool, seed: int) -> Figures:
    """Return what became of a case; the same arguments give the same figures."""
    return Simulation(case, on=on, seed=seed).run()
