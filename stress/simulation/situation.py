"""What is asked of which database by whom."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from stress.simulation.clients import OBEDIENT, ONCE, STUBBORN, Kind
from stress.simulation.database import Service, slowing, steady
from stress.simulation.timeline import ALWAYS, AWAY, FROZEN, Stage, Timeline

HOLD_S: Final = 0.02
POOL: Final = 8
THREADS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """A service, its database and its clients. Times in seconds from the run's beginning.

    Attributes:
        name: for tables.
        service: the database's service times.
        load: fresh requests, in multiples of what all connections together can serve at best.
        length_s: no fresh request comes later.
        surges: when the load is another, as a timeline.
        burst: so many requests come at once.
        kinds: who asks; their shares add up to 1.
        hosts: how many.
        workers: each host's.
        pool: each worker's connections.
        threads: each worker's.
        waiters: requests that may wait in each worker, where the policy asks.
        budget_s: how long, on the average.
        slow_hosts: so many of the hosts use their database ``slowness`` times longer.
        slowness: see there.
        balancer: which host gets a request: one of ``stress.simulation.balancers.BALANCERS``.
    """

    name: str
    service: Service
    load: float
    length_s: float = 40.0
    surges: Timeline = ALWAYS
    burst: int = 1
    kinds: tuple[Kind, ...] = (ONCE,)
    hosts: int = 1
    workers: int = 1
    pool: int = POOL
    threads: int = THREADS
    waiters: int = 2 * POOL
    budget_s: float = 2 * HOLD_S
    slow_hosts: int = 0
    slowness: float = 1.0
    balancer: str = field(default="random")

    @property
    def connections(self) -> int:
        """Connections of all workers of all hosts."""
        return self.hosts * self.workers * self.pool

    @property
    def capacity_per_s(self) -> float:
        """What they can serve at best, requests per second, at the database's usual speed."""
        return self.service.capacity_per_s(self.connections)


_STEADY: Final = Service(steady(HOLD_S), "exponential")
_RETRYING: Final = (OBEDIENT._replace(share=0.5), STUBBORN._replace(share=0.5))

SITUATIONS: Final = (
    Situation(name="1x", service=_STEADY, load=1.0),
    Situation(name="2x", service=_STEADY, load=2.0),
    Situation(name="5x", service=_STEADY, load=5.0),
    Situation(name="bimodal, 2x", service=_STEADY._replace(spread="bimodal"), load=2.0),
    Situation(
        name="five times slower from 10 s to 30 s, 2x",
        service=_STEADY._replace(stages=Timeline([Stage(10.0, 0.2), Stage(30.0, 1.0)])),
        load=2.0,
    ),
    Situation(
        name="slows with concurrency, 2x",
        service=Service(slowing(4, 0.25, 0.01), "gamma"),
        load=2.0, length_s=60.0, pool=16, waiters=32,
    ),
    Situation(name="bursts of 40, 0.8x", service=_STEADY, load=0.8, burst=40),
    Situation(
        name="bursts of 40, 0.8x, 64 may wait 160 ms", service=_STEADY, load=0.8, burst=40,
        waiters=64, budget_s=0.16, threads=96,
    ),
    Situation(name="2x, all retry", service=_STEADY, load=2.0, kinds=_RETRYING),
    Situation(
        name="frozen from 20 s to 30 s, 0.5x, all retry",
        service=_STEADY._replace(stages=Timeline([Stage(20.0, FROZEN), Stage(30.0, 1.0)])),
        load=0.5, length_s=120.0, kinds=_RETRYING,
    ),
    Situation(
        name="away from 20 s to 50 s, 0.5x, all retry",
        service=_STEADY._replace(stages=Timeline([Stage(20.0, AWAY), Stage(50.0, 1.0)])),
        load=0.5, length_s=120.0, kinds=_RETRYING,
    ),
)  # fmt: skip
"""The table of comparisons: 8 connections x 20 ms (exponential) unless the name says otherwise."""
