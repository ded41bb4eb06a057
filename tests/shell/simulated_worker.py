"""A worker with threads and a pool, simulated around the real controller: no CPU, no clock."""

from collections import Counter
from heapq import merge
from random import Random

from guard.core.vocabulary import Lane, Mode, Priority
from stress.simulation.clients import ONCE, Try
from stress.simulation.database import Database, Service, steady
from stress.simulation.engine import Engine
from stress.simulation.policies.base import Site
from stress.simulation.policies.guarded import Host, Setup
from stress.simulation.worker import Worker

SLOTS, HOLD_S, THREADS = 8, 0.02, 64
CAPACITY_PER_S = SLOTS / HOLD_S


def poisson(load, seconds, draw, client="", priority=Priority.NORMAL):
    """Yield arrivals at ``load`` times the capacity: time, client, class."""
    at_s = draw.expovariate(load * CAPACITY_PER_S)
    while at_s < seconds:
        yield at_s, client, priority
        at_s += draw.expovariate(load * CAPACITY_PER_S)


class SimulatedWorker:
    """Serves arrivals; ``sent`` and ``shed`` count them by client and class.

    In shadow mode ``shed`` counts those that would have been, whoever sent them.
    """

    def __init__(self, mode=Mode.ENFORCE, **rules):
        self.sent, self.shed = Counter(), Counter()
        self._engine = Engine()
        site = Site(self._engine, Random(1), 1, SLOTS, 2 * SLOTS, 2 * HOLD_S, lambda: False)
        (self._policy,) = Host(site, Setup(mode, **rules)).policies
        for _ in range(200):
            self._policy.controller.held(Lane.READ, HOLD_S)
        database = Database(self._engine, Service(steady(HOLD_S), "uniform"), Random(7))
        self._worker = Worker(self._engine, database, self._policy, self, THREADS)

    def run(self, *streams):
        for at_s, client, priority in merge(*streams):
            kind = ONCE._replace(client=client, priority=priority)
            self.sent[client, priority] += 1
            self._engine.at(at_s, self._worker.arrive, Try(kind, 0, at_s, 1, at_s))
        self._engine.run()
        self.shed["", Priority.NORMAL] += self._policy.would_shed

    def refuse(self, one, _told_s):
        self.shed[one.kind.client, one.kind.priority] += 1

    def answer(self, _one):
        pass

    def fail(self, _one):
        raise AssertionError("this database never fails")
