"""The developer's door to the database: asks the controller for a permit, then the backend.

This is the second, exact gate. The first one, in the middleware, is early and cheap; a request
that turns out to need no database never comes here and holds no permit.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from math import inf
from typing import TYPE_CHECKING, TypeVar

from guard.backends.base import Bounds
from guard.core.vocabulary import Lane, Mode, Outcome, Reason
from guard.errors import BackendBusy, BackendClosed, ClientGone, Shed, StatementTimeout
from guard.gate import Gate
from guard.request import CURRENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guard.backends.base import Backend, Insert, Row, Session, StreamSession
    from guard.controller import Controller
    from guard.permit import Permit
    from guard.request import RequestScope

T = TypeVar("T")


class Database:
    """Reads and writes, each behind its lane's permit and breaker. Thread-safe.

    Inside a request the permit stays with the request until its response is closed; outside
    of any (a script, a job) it is held for the call. All methods raise ``Shed`` where the
    lane has no room, and what ``guard.backends.base.Backend`` raises.

    Args:
        backend: an open, or opening, backend.
        controller: decides and counts.
        dialect: ``duckdb`` or ``postgres``, for code that writes SQL.

    Attributes:
        writes: where it is shut, writes are shed as by a worker that goes away.
    """

    def __init__(self, backend: Backend, controller: Controller, dialect: str) -> None:
        self.dialect = dialect
        self.writes = Gate()
        self._backend = backend
        self._controller = controller

    def read(self, unit: Callable[[Session], T]) -> T:
        """Run ``unit`` with a read-only session and return its result.

        A unit may be run a second time where a replica died under it; it must have no effect.
        """
        with self._turn(Lane.READ) as bounds:
            return self._backend.read(self._if_heard(unit), bounds)

    def write(self, unit: Callable[[Session], T]) -> T:
        """Run ``unit`` in a transaction; return its result once the commit is durable.

        A unit may be run a second time if nothing of the first run was kept; it must have no
        effect but the database's.
        """
        with self._turn(Lane.WRITE) as bounds:
            return self._backend.write(unit, bounds)

    def insert(self, insert: Insert, row: Row) -> None:
        """Insert one row, durable on return; DuckDB merges it with others that wait."""
        with self._turn(Lane.WRITE) as bounds:
            self._backend.insert(insert, row, bounds)

    @contextmanager
    def stream(self) -> Iterator[StreamSession]:
        """Hold a read-only session over the block, for a result too large for a list."""
        with self._turn(Lane.READ) as bounds, self._backend.stream(bounds) as session:
            yield session

    def take_place(self) -> float:
        """Take the request's permit for a read that may not be needed in the end.

        It bounds how many requests of the lane hold a thread, and no connection is counted on
        for it before ``read`` is called.

        Returns:
            The time until the request's deadline, seconds.

        Raises:
            Shed: the lane has no room.
        """
        scope = CURRENT.get()
        if scope is None:
            return inf
        self._permit(scope, Lane.READ).finish()
        return self._controller.left_s(scope)

    @contextmanager
    def _turn(self, lane: Lane) -> Iterator[Bounds]:
        outer = CURRENT.get()
        scope = outer or self._controller.scope(lane)
        passing = self.writes.inside() if lane is Lane.WRITE else nullcontext(enter_result=True)
        try:
            with passing as inside:
                if not inside:
                    raise self._shut_out(scope, lane)
                permit = self._permit(scope, lane)
                with self._judged(lane, scope, permit):
                    yield self._bounds(scope, lane)
        finally:
            if outer is None:
                scope.release()

    def _shut_out(self, scope: RequestScope, lane: Lane) -> Exception:
        if scope.executed:
            return BackendClosed("no more writes are taken here")
        return self._shed(scope, lane, Reason.DRAINING)

    def _permit(self, scope: RequestScope, lane: Lane) -> Permit:
        held = scope.permits.get(lane)
        if held is not None:
            held.resume()
            return held
        decision, permit = self._controller.admit(scope, lane, forced=scope.executed)
        if permit is None:
            raise self._shed(scope, lane, decision.reason)
        scope.permits[lane] = permit
        scope.may_wait = decision.wait_s > 0.0
        if not decision.admitted and not scope.would_shed:
            scope.would_shed = True
            scope.reason = decision.reason
        return permit

    def _bounds(self, scope: RequestScope, lane: Lane) -> Bounds:
        controller = self._controller
        left_s = controller.left_s(scope)
        if left_s > 0:
            run_s = min(controller.rules.statement_timeout_s, left_s)
            wait_s = controller.wait_bound_s(scope, lane, left_s)
            newest_first = controller.newest_first(lane)
            return Bounds(wait_s, run_s, left_s, newest_first, scope.mark)
        if scope.executed:
            raise StatementTimeout("the request's deadline has passed")
        raise self._shed(scope, lane, Reason.DEADLINE)

    @contextmanager
    def _judged(self, lane: Lane, scope: RequestScope, permit: Permit) -> Iterator[None]:
        breaker = self._controller.breaker(lane)
        generation = breaker.generation if breaker else 0
        outcome = Outcome.OK
        try:
            yield
            scope.executed = True
        except (Shed, ClientGone):
            outcome = Outcome.NEUTRAL
            raise
        except BackendBusy as error:
            outcome = Outcome.NEUTRAL
            if scope.executed or self._controller.mode is not Mode.ENFORCE:
                raise
            late = self._controller.left_s(scope) <= 0
            reason = Reason.DEADLINE if late else Reason.POOL_SATURATED
            raise self._shed(scope, lane, reason) from error
        except BackendClosed as error:
            outcome = Outcome.NEUTRAL
            if scope.executed:
                raise
            serving = self._controller.serving()
            reason = Reason.STARTING if serving is Reason.OK else serving
            raise self._shed(scope, lane, reason) from error
        except BaseException as error:
            scope.executed = True
            outcome = self._backend.classify(error)
            raise
        finally:
            permit.finish()
            if breaker:
                breaker.record(outcome, generation)

    def _shed(self, scope: RequestScope, lane: Lane, reason: Reason) -> Shed:
        scope.reason = reason
        scope.retry_after_s = self._controller.retry_after_s(lane, reason)
        return Shed(lane, reason, scope.retry_after_s)

    def _if_heard(self, unit: Callable[[Session], T]) -> Callable[[Session], T]:
        """Return a unit that gives its turn up where its client hung up while it waited for it.

        For reads alone: on DuckDB a write that fails makes those run again that share its
        transaction.
        """
        scope = CURRENT.get()
        if scope is None or not scope.may_wait or scope.executed:
            return unit
        if self._controller.mode is not Mode.ENFORCE:
            return unit

        def heard(session: Session) -> T:
            if scope.client_gone():
                scope.reason = Reason.CLIENT_GONE
                raise ClientGone("the client hung up while its request waited for a connection")
            return unit(session)

        return heard
