"""One run: a situation under a policy, from a seed."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from stress.simulation.balancers import BALANCERS
from stress.simulation.clients import Arrivals, Kind, Try
from stress.simulation.database import Database
from stress.simulation.engine import Engine
from stress.simulation.policies.base import Site
from stress.simulation.tally import Tally
from stress.simulation.timeline import AWAY
from stress.simulation.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stress.simulation.policies import Maker
    from stress.simulation.situation import Situation

LOOK_S: Final = 0.2
"""How often a worker's watcher looks."""
DRAIN_S: Final = 600.0
"""Longer than any client's tries can take."""


class World:
    """Everything that a run needs, put together. Not thread-safe; for one run.

    All randomness comes from the seed: arrivals, service times, clients and each host's guard have
    a source of their own, so that all policies meet the same arrivals.

    Args:
        situation: what happens.
        maker: makes the policies of a host's workers.
        seed: of all that is random.
        dues_s: when the requests are due, where not by the situation's load.

    Attributes:
        engine: the clock.
        database: what all connections lead to.
        tally: what has become of the tries.
        workers: of all hosts, host by host.
        fresh: requests so far.
    """

    def __init__(
        self,
        situation: Situation,
        maker: Maker,
        seed: int,
        dues_s: Iterator[float] | None = None,
    ) -> None:
        self.situation = situation
        self.engine = Engine()
        self.tally = Tally()
        self.database = Database(self.engine, situation.service, Random(f"{seed}/service"))
        self.workers = self._put_together(maker, seed)
        self.fresh = 0
        rate = situation.load * situation.capacity_per_s
        arrivals = Arrivals(rate, situation.length_s, situation.surges, situation.burst)
        self._dues_s = dues_s or arrivals.dues_s(Random(f"{seed}/arrivals"))
        self._random = Random(f"{seed}/clients")
        balancer, draw = BALANCERS[situation.balancer], Random(f"{seed}/balancer")
        self._choose = balancer(self.workers, situation.workers, draw)
        self._kinds = _Kinds(situation.kinds, Random(f"{seed}/kinds"))
        self._arriving = True
        self._open = 0

    def _put_together(self, maker: Maker, seed: int) -> list[Worker]:
        it, found = self.situation, []
        # Asked several times per request, of databases that mostly never are.
        away = self._away if AWAY in it.service.stages.speeds else _never
        for host in range(it.hosts):
            draw = Random(f"{seed}/host {host}")
            site = Site(self.engine, draw, it.workers, it.pool, it.waiters, it.budget_s, away)
            slowness = it.slowness if host < it.slow_hosts else 1.0
            found += [
                Worker(self.engine, self.database, policy, self, it.threads, slowness)
                for policy in maker(site)
            ]
        return found

    def _away(self) -> bool:
        return self.situation.service.away(self.engine.now)

    def run(self) -> None:
        """Let everything happen, until each request has got its last answer.

        One that has none ``DRAIN_S`` after the last arrival still waits when this returns.
        """
        for number, worker in enumerate(self.workers):
            self.engine.at(LOOK_S * number / len(self.workers), self._look, worker)
        self._plan_arrival()
        self.engine.run(self.situation.length_s + DRAIN_S)

    def _look(self, worker: Worker) -> None:
        now_s = self.engine.now
        worker.policy.look(now_s)
        worker.serve()
        self.engine.at(now_s + LOOK_S, self._look, worker)

    def _plan_arrival(self) -> None:
        due_s = next(self._dues_s, None)
        if due_s is None:
            self._arriving = False
            self._end_if_over()
        else:
            self.engine.at(due_s, self._arrive)

    def _arrive(self) -> None:
        now_s = self.engine.now
        one = Try(self._kinds.draw(), self.fresh, now_s, 1, now_s)
        self.fresh += 1
        self._open += 1
        self._send(one)
        self._plan_arrival()

    def _send(self, one: Try) -> None:
        self.tally.send(one.sent_s)
        self._choose().arrive(one)
        if one.heard and one.ends_s > one.sent_s + one.kind.timeout_s:
            self.engine.at(one.sent_s + one.kind.timeout_s, self._time_out, one)

    def answer(self, one: Try) -> None:
        """Hear that a try was answered."""
        if one.heard:
            one.heard = False
            self.tally.answer(one, self.engine.now)
            self.close()

    def refuse(self, one: Try, told_s: float) -> None:
        """Hear that a try was refused."""
        if one.heard:
            one.heard = False
            self.tally.refuse(one, self.engine.now)
            self.try_again(one, told_s)

    def fail(self, one: Try) -> None:
        """Hear that a try ended in an error."""
        if one.heard:
            one.heard = False
            self.tally.fail(one, self.engine.now)
            self.try_again(one, 0.0)

    def _time_out(self, one: Try) -> None:
        self.fail(one)

    def try_again(self, one: Try, told_s: float) -> None:
        """Send a request once more, if its client does.

        Args:
            one: the try that was refused, or failed.
            told_s: what a refusal said, seconds; 0 where nothing was said.
        """
        if one.number >= one.kind.tries:
            self.close()
            return
        back_s = self.engine.now + one.kind.back_s(one.number, told_s, self._random)
        again = Try(one.kind, one.request, one.first_s, one.number + 1, back_s)
        self.engine.at(back_s, self._send, again)

    def close(self) -> None:
        """Have done with a request."""
        self._open -= 1
        self._end_if_over()

    def _end_if_over(self) -> None:
        if not self._open and not self._arriving:
            self.engine.stop()


def _never() -> bool:
    return False


class _Kinds:
    """Draws a kind by its share."""

    def __init__(self, kinds: tuple[Kind, ...], draw: Random) -> None:
        self._kinds = kinds
        self._random = draw
        self._shares = [kind.share for kind in kinds]

    def draw(self) -> Kind:
        if len(self._kinds) == 1:
            return self._kinds[0]
        return self._random.choices(self._kinds, self._shares)[0]
