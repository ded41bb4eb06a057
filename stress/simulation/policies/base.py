"""What a worker asks a policy, and what all that bound the requests under way have in common."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, NamedTuple, Protocol

from guard.core.vocabulary import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from stress.simulation.clients import Try
    from stress.simulation.engine import Engine

STATEMENT_TIMEOUT_S = 5.0
"""What every policy's service sets, as the guard does by default."""


class Policy(Protocol):
    """Admits or refuses for one worker."""

    wait_bound_s: float
    """The longest wait for a connection, seconds; ``inf`` for none."""
    run_bound_s: float
    """The longest use of one, seconds."""
    hears: bool
    """Whether tries whose clients have gone are dropped when their turn comes."""

    def enter(self, one: Try, now_s: float) -> bool:
        """Return whether the try is admitted; ``one.token`` is the policy's to use."""
        ...

    def slots(self) -> int:
        """Return how many connections may be used now."""
        ...

    def newest_first(self) -> bool:
        """Return whether who came last is the next to get a connection."""
        ...

    def waited(self, wait_s: float) -> None:
        """Hear of a wait for a connection that has ended."""
        ...

    def leave(self, one: Try, now_s: float, held_s: float | None, outcome: Outcome) -> None:
        """Hear that a try has left.

        Args:
            one: which was admitted.
            now_s: the time.
            held_s: how long it had a connection; None where it had none.
            outcome: how its use of the database ended.
        """
        ...

    def retry_after_s(self) -> float:
        """Return what the last one that was refused is told, seconds; 0 for nothing."""
        ...

    def look(self, now_s: float) -> None:
        """Do what is done some times in each second."""
        ...


class Site(NamedTuple):
    """A host on which policies are set up.

    Attributes:
        engine: its clock.
        draw: its randomness.
        workers: how many.
        pool: each worker's connections.
        waiters: tries that may wait in each worker, where the policy asks.
        budget_s: how long, on the average.
        away: whether the database can't be reached now.
    """

    engine: Engine
    draw: Random
    workers: int
    pool: int
    waiters: int
    budget_s: float
    away: Callable[[], bool]


class Limiter:
    """Admits while fewer than ``limit`` requests are under way, and learns from each that ends.

    As Netflix's ``AbstractLimiter``: the time counts from admission, with the wait for a
    connection, and a use of the database that fails is a drop.

    Args:
        site: where it works.
        limit: the first limit.

    Attributes:
        limit: requests that may be under way.
        told_s: the Retry-After of its refusals.
    """

    wait_bound_s = inf
    run_bound_s = STATEMENT_TIMEOUT_S
    hears = False
    told_s = 1.0

    def __init__(self, site: Site, limit: float) -> None:
        self.limit = limit
        self._pool = site.pool
        self._under_way = 0

    def enter(self, one: Try, now_s: float) -> bool:
        """Return whether fewer than the limit are under way."""
        if self._under_way >= int(self.limit):
            return False
        self._under_way += 1
        one.token = now_s, self._under_way
        return True

    def slots(self) -> int:
        """Return the pool's size: what fails is not kept from the database."""
        return self._pool

    def newest_first(self) -> bool:
        """Return that the order is that of arrival."""
        return False

    def waited(self, wait_s: float) -> None:
        """Learn nothing from it."""

    def leave(self, one: Try, now_s: float, _held_s: float | None, outcome: Outcome) -> None:
        """Count it, and learn from the time it took."""
        begun_s, under_way = one.token
        self._under_way -= 1
        self.sample(now_s - begun_s, under_way, now_s, dropped=outcome is not Outcome.OK)

    def sample(self, took_s: float, under_way: int, now_s: float, *, dropped: bool) -> None:
        """Adjust the limit.

        Args:
            took_s: from admission to the end.
            under_way: how many were, with it, when it was admitted.
            now_s: the time.
            dropped: whether it failed.
        """

    def retry_after_s(self) -> float:
        """Return the same for everybody."""
        return self.told_s

    def look(self, now_s: float) -> None:
        """Do nothing."""
