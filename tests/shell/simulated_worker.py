"""A worker with threads and a pool, simulated around the real controller: no CPU, no clock."""

from collections import Counter, deque
from heapq import heappop, heappush, merge
from random import Random

from guard.controller import Controller, Rules
from guard.core.admission import Limits
from guard.core.vocabulary import Lane, Mode, Policy, Priority
from guard.testing import FakeClock

SLOTS, HOLD_S, THREADS = 8, 0.02, 64
CAPACITY_PER_S = SLOTS / HOLD_S
LIMITS = Limits(Policy.PREDICTIVE, permits_max=24, waiters_max=16, wait_budget_s=0.04)


def poisson(load, seconds, draw, client="", priority=Priority.NORMAL):
    """Yield arrivals at ``load`` times the capacity: time, client, class."""
    at_s = draw.expovariate(load * CAPACITY_PER_S)
    while at_s < seconds:
        yield at_s, client, priority
        at_s += draw.expovariate(load * CAPACITY_PER_S)


class SimulatedWorker:
    """Serves arrivals; ``sent`` and ``shed`` count them by client and class.

    In shadow mode ``shed`` counts those that would have been.
    """

    def __init__(self, mode=Mode.ENFORCE, **rules):
        self.clock = FakeClock()
        lanes = dict.fromkeys(Lane, LIMITS)
        self.control = Controller(
            Rules(lanes=lanes, mode=mode, deadline_s=600.0, **rules),
            {lane: lambda: SLOTS for lane in Lane},
            clock=self.clock,
        )
        for _ in range(200):
            self.control.held(Lane.READ, HOLD_S)
        self.sent, self.shed = Counter(), Counter()
        self._mode = mode
        self._busy = 0
        self._queue, self._pool, self._ends = deque(), deque(), []
        self._draw = Random(7)

    def run(self, *streams):
        begin_s = self.clock.now_s()
        arrivals = deque((begin_s + at_s, *rest) for at_s, *rest in merge(*streams))
        while arrivals or self._ends:
            next_s = min(each[0][0] for each in (arrivals, self._ends) if each)
            self.clock.advance(max(0.0, next_s - self.clock.now_s()))
            if self._ends and self._ends[0][0] <= next_s:
                self._end()
            else:
                self._queue.append(arrivals.popleft())
            while self._queue and self._busy < THREADS:
                self._begin(*self._queue.popleft())

    def _begin(self, arrived_s, client, priority):
        scope = self.control.scope(Lane.READ, self.clock.now_s() - arrived_s)
        scope.client, scope.priority = client, priority
        self.sent[client, priority] += 1
        scope.would_shed = not self.control.check(scope, Lane.READ).admitted
        if scope.would_shed and self._mode is Mode.ENFORCE:
            self.shed[client, priority] += 1
            return
        decision, permit = self.control.admit(scope, Lane.READ)
        self.shed[client, priority] += scope.would_shed or not decision.admitted
        self._busy += 1
        if len(self._ends) < SLOTS:
            self._serve(permit)
        else:
            self._pool.append(permit)

    def _serve(self, permit):
        hold_s = HOLD_S * self._draw.uniform(0.5, 1.5)
        heappush(self._ends, (self.clock.now_s() + hold_s, id(permit), permit, hold_s))

    def _end(self):
        _, _, permit, hold_s = heappop(self._ends)
        self.control.held(Lane.READ, hold_s)
        permit.release()
        self._busy -= 1
        if self._pool:
            self._serve(self._pool.popleft())
