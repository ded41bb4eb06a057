"""A worker: threads in front, a policy, a pool of connections with those that wait for one."""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING, Protocol

from guard.core.vocabulary import Outcome

if TYPE_CHECKING:
    from stress.simulation.clients import Try
    from stress.simulation.database import Database
    from stress.simulation.engine import Engine
    from stress.simulation.policies.base import Policy


class Audience(Protocol):
    """Who hears what became of a try."""

    def answer(self, one: Try) -> None:
        """It was answered."""
        ...

    def refuse(self, one: Try, told_s: float) -> None:
        """It was refused, and told to come back after so many seconds; 0 for no word."""
        ...

    def fail(self, one: Try) -> None:
        """It ended in an error."""
        ...


class Worker:
    """Serves tries as a gthread worker does: a thread each, first come, first served.

    Tries that find no thread wait in a queue without a bound, in front of the policy; those that
    it admits hold a thread, also while they wait for a connection. Computing takes no time.

    Args:
        engine: the clock.
        database: what the connections lead to.
        policy: who is admitted.
        audience: hears of each try's end.
        threads: how many tries may be inside at once.
        slowness: how much longer than usual its uses of the database take.

    Attributes:
        policy: as above.
        inside: tries that hold a thread.
        used: connections in use.
        arrived: tries so far.
        refused: of these, those that were refused.
    """

    __slots__ = (
        "_audience", "_backlog", "_database", "_engine", "_newest_first", "_pool", "_slowness",
        "_threads",
        "arrived", "inside", "policy", "refused", "used",
    )  # fmt: skip

    def __init__(
        self,
        engine: Engine,
        database: Database,
        policy: Policy,
        audience: Audience,
        threads: int,
        slowness: float = 1.0,
    ) -> None:
        self._engine = engine
        self._database = database
        self.policy = policy
        self._audience = audience
        self._threads = threads
        self._slowness = slowness
        self._backlog: deque[Try] = deque()
        self._pool: deque[tuple[Try, float]] = deque()
        self._newest_first = False
        self.arrived = self.refused = self.inside = self.used = 0

    def held(self) -> list[Try]:
        """Return the tries that wait here, for a thread or for a connection."""
        return [*self._backlog, *(one for one, _ in self._pool if one.in_pool)]

    @property
    def load(self) -> int:
        """Tries that are here."""
        return self.inside + len(self._backlog)

    def arrive(self, one: Try) -> None:
        """Take a try in."""
        self.arrived += 1
        if self.inside >= self._threads:
            self._backlog.append(one)
        else:
            self._begin(one)

    def _begin(self, one: Try) -> None:
        policy, now_s = self.policy, self._engine.now
        if not policy.enter(one, now_s):
            self._refuse(one)
            return
        self.inside += 1
        if not self._pool and self.used < policy.slots():
            self._use(one, now_s)
            return
        one.in_pool = True
        self._pool.append((one, now_s))
        self._newest_first = policy.newest_first()
        if policy.wait_bound_s < inf:
            self._engine.at(now_s + policy.wait_bound_s, self._give_up, one)
        self._serve_pool()

    def _use(self, one: Try, asked_s: float) -> None:
        now_s = self._engine.now
        self.policy.waited(now_s - asked_s)
        self.used += 1
        use = self._database.begin(self.policy.run_bound_s, self._slowness)
        one.ends_s = use.end_s
        self._engine.at(use.end_s, self._end, one, now_s, use.outcome)

    def _end(self, one: Try, begun_s: float, outcome: Outcome) -> None:
        self.used -= 1
        self.inside -= 1
        self._database.end()
        now_s = self._engine.now
        self.policy.leave(one, now_s, now_s - begun_s, outcome)
        if outcome is Outcome.OK:
            self._audience.answer(one)
        else:
            self._audience.fail(one)
        self.serve()

    def _give_up(self, one: Try) -> None:
        # The bound on the wait for a connection: nothing was executed, so it is a refusal.
        if not one.in_pool:
            return
        one.in_pool = False
        self.inside -= 1
        self.policy.waited(self.policy.wait_bound_s)
        self.policy.leave(one, self._engine.now, None, Outcome.NEUTRAL)
        self._refuse(one)
        self.serve()

    def _refuse(self, one: Try) -> None:
        self.refused += 1
        self._audience.refuse(one, self.policy.retry_after_s())

    def serve(self) -> None:
        """Give free connections and threads to those that wait; also where some became free."""
        self._serve_pool()
        backlog, policy = self._backlog, self.policy
        while backlog and self.inside < self._threads:
            one = backlog.popleft()
            if one.heard or not policy.hears:
                self._begin(one)

    def _serve_pool(self) -> None:
        policy, pool = self.policy, self._pool
        while pool and self.used < policy.slots():
            one, asked_s = pool.pop() if self._newest_first else pool.popleft()
            if not one.in_pool:
                continue
            one.in_pool = False
            if policy.hears and not one.heard:
                self.inside -= 1
                policy.leave(one, self._engine.now, None, Outcome.NEUTRAL)
                continue
            self._use(one, asked_s)
