"""An outage in virtual time: the real controllers, breakers, book and board, a simulated database.

Seconds of work for minutes of service, and the same seed gives the same run. What is not there:
the network but for a little latency, gunicorn, and the processor's own limits.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from guard import metrics
from guard.board import Board
from guard.book import AppointmentBook
from guard.breaker import LaneBreaker
from guard.controller import Controller, Rules
from guard.core.admission import Limits
from guard.core.breaker_types import BreakerRules
from guard.core.vocabulary import Lane, Outcome, Policy, Reason
from guard.testing import FakeClock
from stress.stampede_plan import BOOK, CONSTANT, Run, Try
from stress.stampede_told import Told

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.board import WorkerRow
    from guard.permit import Permit
    from stress.stampede_plan import Plan

WORKERS: Final = 2
HOLD_S: Final = 0.04
_LOOK_S: Final = 0.2
_EPOCH_S: Final = 1000
_NETWORK_S: Final = (0.001, 0.01)
_LANE: Final = Lane.READ


@dataclass(slots=True)
class _Worker:
    row: WorkerRow
    breaker: LaneBreaker
    controller: Controller
    free_at_s: list[float] = field(default_factory=list)


class Simulation:
    """One run of a plan with one policy. Not thread-safe.

    Args:
        plan: what happens.
        policy: one of ``stress.stampede_plan.POLICIES``.
        seed: of all that is random in it.
    """

    def __init__(self, plan: Plan, policy: str, seed: int) -> None:
        self._plan = plan
        self._policy = policy
        self._random = random.Random(f"{seed}/{policy}")
        self._clock = FakeClock(_EPOCH_S)
        self._board = Board.anonymous(WORKERS, clock=self._clock)
        self._slots = max(1, round(plan.capacity_per_s * HOLD_S / WORKERS))
        self._workers = [self._worker(number) for number in range(WORKERS)]
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._tries: list[Try] = []
        self._arrivals = plan.arrivals(seed)

    @property
    def capacity_per_s(self) -> float:
        """What the simulated database can serve, requests per second."""
        return WORKERS * self._slots / HOLD_S

    def run(self) -> Run:
        """Return what became of every request."""
        for request, due_s in enumerate(self._arrivals):
            self._at(due_s, lambda request=request: self._arrive(request, 1))  # type: ignore[misc]
        self._at(0.0, self._look)
        while self._events:
            at_s, _, event = heapq.heappop(self._events)
            self._clock.advance(max(0.0, at_s - self._now_s()))
            event()
        value = self._board.value
        labels = (_LANE.value,)
        return Run(
            tuple(self._tries), self.capacity_per_s, self._plan,
            value(metrics.RETRY_PROMISES_DUE, labels), value(metrics.RETRY_PROMISES_KEPT, labels),
        )  # fmt: skip

    def _now_s(self) -> float:
        return self._clock.now_s() - _EPOCH_S

    def _at(self, at_s: float, event: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (at_s, self._count, event))

    def _away(self) -> bool:
        return self._plan.away(self._now_s())

    def _worker(self, number: int) -> _Worker:
        row, draw = self._board.claim(number, number + 1), self._random.random
        breaker = LaneBreaker(
            _LANE, BreakerRules(), self._clock, draw, row,
            store=row.breakers.stores[_LANE] if row.breakers else None,
        )  # fmt: skip
        limits = Limits(Policy.PREDICTIVE, 4 * self._slots, 3 * self._slots, 0.2)
        book: AppointmentBook | Told
        if self._policy == BOOK:
            book = AppointmentBook(
                row.siblings, self._clock, draw, row, 1, self._plan.retry_after_max_s
            )
        elif self._policy == CONSTANT:
            book = Told(lambda: self._plan.constant_s)
        else:
            book = Told(lambda: self._plan.left_s(self._now_s()))
        controller = Controller(
            Rules(lanes=dict.fromkeys(Lane, limits)),
            dict.fromkeys(Lane, lambda: 0 if self._away() else self._slots),
            {_LANE: breaker},
            clock=self._clock,
            draw=draw,
            book=book,
        )
        return _Worker(row, breaker, controller, [0.0] * self._slots)

    def _look(self) -> None:
        for worker in self._workers:
            worker.controller.look()
            worker.breaker.run_probe_if_due(self._probe)
        if self._now_s() < self._plan.length_s or self._events:
            self._at(self._now_s() + _LOOK_S, self._look)

    def _probe(self) -> None:
        if self._away():
            raise ConnectionError("the database is away")

    def _arrive(self, request: int, number: int) -> None:
        worker = self._random.choice(self._workers)
        controller = worker.controller
        decision, permit = controller.admit(controller.scope(_LANE), _LANE)
        if permit is None:
            self._refuse(worker, request, number, decision.reason)
        else:
            self._serve(worker, request, number, permit)

    def _refuse(self, worker: _Worker, request: int, number: int, reason: Reason) -> None:
        told_s = worker.controller.retry_after_s(_LANE, reason)
        worker.row.add(metrics.DECISIONS_TOTAL, ("shed", reason.value, _LANE.value))
        now_s = self._now_s()
        self._tries.append(Try(request, number, now_s, served=False, told_s=told_s))
        if number < self._plan.tries:
            back_s = now_s + told_s + self._random.uniform(*_NETWORK_S)
            self._at(back_s, lambda: self._arrive(request, number + 1))

    def _serve(self, worker: _Worker, request: int, number: int, permit: Permit) -> None:
        now_s, generation = self._now_s(), worker.breaker.generation
        begun_s = max(now_s, heapq.heappop(worker.free_at_s))
        took_s = HOLD_S * self._random.uniform(0.5, 1.5)
        heapq.heappush(worker.free_at_s, begun_s + took_s)

        def end() -> None:
            # The outage cuts short whatever runs when it begins.
            ok = not self._away()
            worker.controller.held(_LANE, took_s)
            worker.breaker.record(Outcome.OK if ok else Outcome.FAILURE, generation)
            permit.release()
            worker.row.add(metrics.DECISIONS_TOTAL, ("admitted", Reason.OK.value, _LANE.value))
            self._tries.append(Try(request, number, now_s, served=ok))

        self._at(begun_s + took_s, end)


def simulate(plan: Plan, policy: str, seed: int) -> Run:
    """Return what became of every request; the same arguments give the same run."""
    return Simulation(plan, policy, seed).run()
