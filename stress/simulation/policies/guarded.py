"""Guard on one host: its real controllers, breaker, book and board, under the engine's clock."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from guard import metrics
from guard.board import Board
from guard.book import AppointmentBook
from guard.breaker import LaneBreaker
from guard.controller import Controller
from guard.core import adaptive
from guard.core.adaptive import Adaptive
from guard.core.admission import Limits
from guard.core.appointments import CROWDING
from guard.core.breaker_types import BreakerRules
from guard.core.vocabulary import Lane, Mode, Outcome, Policy, QueueOrder, Reason, RetryPolicy
from guard.request import RequestScope
from guard.rules import WAIT_BOUND_FACTOR, Rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.board import WorkerRow
    from guard.core.priority import Shares
    from guard.rules import Book
    from stress.simulation.clients import Try
    from stress.simulation.policies.base import Site

RETRY_AFTER_MAX_S: Final = 60
_LANE: Final = Lane.READ


class Setup(NamedTuple):
    """How the guard is set up; what is not here comes from the site, or is the guard's default.

    Attributes:
        mode: enforce or shadow.
        shares: what each class of requests may use of a lane; None where all are alike.
        fair: whether greedy clients are held back.
        adaptive: whether fewer connections are tried.
        order: who of those that wait for a connection is next.
        retry: whether refusals are told seconds by the book or by lot.
        book: makes what is used in the place of the appointment book.
        retry_after_max_s: the book's horizon, seconds.
    """

    mode: Mode = Mode.ENFORCE
    shares: Shares | None = None
    fair: bool = False
    adaptive: bool = False
    order: QueueOrder = QueueOrder.ARRIVAL
    retry: RetryPolicy = RetryPolicy.BOOK
    book: Callable[[], Book] | None = None
    retry_after_max_s: int = RETRY_AFTER_MAX_S


class Host:
    """What the workers of a host share, and a policy for each of them. Not thread-safe.

    Args:
        site: where it is.
        setup: how the guard is set up.

    Attributes:
        board: the host's shared memory, with its metrics.
        policies: one per worker.
    """

    def __init__(self, site: Site, setup: Setup) -> None:
        self.board = Board.anonymous(site.workers, clock=site.engine)
        self.policies = [
            Guarded(site, setup, self.board.claim(number, number + 1))
            for number in range(site.workers)
        ]


class Guarded:
    """The guard in one worker. Not thread-safe.

    Args:
        site: where it is.
        setup: how it is set up.
        row: the worker's row of the board.

    Attributes:
        controller: decides.
        breaker: the lane's.
        would_shed: tries admitted although the decision was to shed: shadow mode.
        limit: connections that may be used, where fewer are tried.
    """

    hears = True

    def __init__(self, site: Site, setup: Setup, row: WorkerRow) -> None:
        draw, enforces = site.draw.random, setup.mode is Mode.ENFORCE
        self.wait_bound_s = WAIT_BOUND_FACTOR * site.budget_s if enforces else inf
        self.breaker = LaneBreaker(
            _LANE, BreakerRules(), site.engine, draw, row,
            store=row.breakers.stores[_LANE] if row.breakers else None,
        )  # fmt: skip
        rules = _rules(site, setup)
        self.controller = Controller(
            rules, dict.fromkeys(Lane, self.slots), {_LANE: self.breaker},
            clock=site.engine, draw=draw, book=_book(site, setup, row),
        )  # fmt: skip
        self.run_bound_s = rules.statement_timeout_s
        self.would_shed = 0
        self.limit = site.pool
        self._site = site
        self._search = Adaptive() if setup.adaptive else None
        self._saw_queue = False
        self._reason = Reason.OK
        self._deadline_s = rules.deadline_s
        self._shadow = not enforces
        self._count_admitted = row.bind([_decision("admitted", Reason.OK)], [])
        self._count_shed = {
            reason: row.bind([_decision("shed", reason)], []) for reason in _REFUSING
        }

    def enter(self, one: Try, now_s: float) -> bool:
        """Return whether the controller admits the try."""
        scope = RequestScope(_LANE, one.sent_s, one.sent_s + self._deadline_s)
        scope.priority, scope.client = one.kind.priority, one.kind.client
        if self._saw_queue or now_s > one.sent_s:
            self._saw_queue = now_s > one.sent_s
            self.controller.arrived(now_s - one.sent_s, now_s)
        decision, permit = self.controller.admit(scope, _LANE, now_s)
        if permit is None:
            self._shed(decision.reason)
            return False
        if self._shadow and decision.reason is not Reason.OK:
            self.would_shed += 1
        one.token = permit, self.breaker.generation
        return True

    def _shed(self, reason: Reason) -> None:
        self._reason = reason
        self._count_shed[reason](0.0)

    def slots(self) -> int:
        """Return how many connections may be used now; 0 while the database is away."""
        return 0 if self._site.away() else self.limit

    def newest_first(self) -> bool:
        """Return what the controller says."""
        return self.controller.newest_first(_LANE)

    def waited(self, wait_s: float) -> None:
        """Tell the controller."""
        self.controller.waited(_LANE, wait_s)

    def leave(self, one: Try, _now_s: float, held_s: float | None, outcome: Outcome) -> None:
        """Tell controller, breaker and board; without a connection it was shed after all."""
        permit, generation = one.token
        permit.release(held_s)
        self.breaker.record(outcome, generation)
        if held_s is not None:
            self._count_admitted(0.0)
        elif one.heard:
            self._shed(Reason.POOL_SATURATED)

    def retry_after_s(self) -> float:
        """Return the book's answer for the last one that was shed."""
        return self.controller.retry_after_s(_LANE, self._reason)

    def look(self, now_s: float) -> None:
        """Do what the watcher does: the book, a probe that is due, the search for a limit."""
        self.controller.look()
        self.breaker.run_probe_if_due(self._probe)
        if self._search is not None:
            load, pool = self.controller.load(_LANE), self._site.pool
            self._search = adaptive.look(self._search, pool, load.uses, load.used_s, now_s)
            self.limit = adaptive.allowed(self._search, pool)

    def _probe(self) -> None:
        if self._site.away():
            raise ConnectionError("the database is away")


def _rules(site: Site, setup: Setup) -> Rules:
    limits = Limits(
        Policy.PREDICTIVE, site.pool + site.waiters, site.waiters, wait_budget_s=site.budget_s
    )
    return Rules(
        lanes=dict.fromkeys(Lane, limits), mode=setup.mode, shares=setup.shares, fair=setup.fair,
        queue_order=setup.order, retry_after_max_s=setup.retry_after_max_s,
    )  # fmt: skip


def _book(site: Site, setup: Setup, row: WorkerRow) -> Book | None:
    if setup.book is not None:
        return setup.book()
    if setup.retry is RetryPolicy.SPREAD:
        return None
    draw, high_s = site.draw.random, setup.retry_after_max_s
    return AppointmentBook(row.siblings, site.engine, draw, row, 1, high_s)


_REFUSING: Final = (*CROWDING, Reason.BREAKER_OPEN, Reason.DEADLINE)


def _decision(word: str, reason: Reason) -> tuple[metrics.Metric, tuple[str, ...]]:
    return metrics.DECISIONS_TOTAL, (word, reason.value, _LANE.value)
