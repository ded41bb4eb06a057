"""Hears a SQLAlchemy pool's events, for an application that is guarded with a pool of its own.

Without it a request holds its lane's slot until its response is closed, and the predicted wait is
that of whole requests. With it the slot is free again when the connection is, and the wait is
predicted from how long connections are held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import event
from sqlalchemy.pool import QueuePool

from guard import metrics
from guard.core.vocabulary import Outcome
from guard.request import CURRENT

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from guard.clock import Clock
    from guard.core.vocabulary import Lane
    from guard.events import PoolObserver, Recorder
    from guard.permit import Permit

_TAKEN: Final = "guard.taken_s"


class PoolEvents:
    """Tells a lane of one engine's connections. Thread-safe.

    The permit is the request's, taken by the guard in front of the application. A connection that
    is used outside of any request is measured, and holds none. The pool should have as many
    connections as the lane (``GUARD_READ_POOL_SIZE``) and no overflow, so that who is admitted
    waits where the guard predicted it.

    Args:
        engine: whose; its pool is SQLAlchemy's ``QueuePool``, the default for servers.
        lane: whose connections they are.
        observer: hears of uses and failures, such as ``guard.assembly.Assembly.meter``.
        recorder: takes the gauges.
        clock: the monotonic clock.

    Raises:
        TypeError: the engine has another kind of pool, which can't tell its size.
    """

    def __init__(
        self, engine: Engine, lane: Lane, observer: PoolObserver, recorder: Recorder, clock: Clock
    ) -> None:
        if not isinstance(engine.pool, QueuePool):
            raise TypeError(f"needs a QueuePool, not a {type(engine.pool).__name__}")
        self._pool = engine.pool
        self._lane = lane
        self._observer = observer
        self._record = recorder
        self._now_s = clock.now_s
        event.listen(engine, "connect", self._connected)
        event.listen(engine, "checkout", self._taken)
        event.listen(engine, "checkin", self._given_back)
        event.listen(engine, "invalidate", self._lost)
        self._record.set(metrics.POOL_MAX, (lane.value,), self._pool.size())
        self._show()

    def _connected(self, _connection: object, _record: object) -> None:
        self._show()

    def _taken(self, _connection: object, record: Any, _proxy: object) -> None:  # noqa: ANN401
        record.info[_TAKEN] = self._now_s()
        permit = self._permit()
        if permit is not None:
            # A request's second use; at the first one the permit still counts on a connection.
            permit.resume()
        self._show()

    def _given_back(self, _connection: object, record: Any) -> None:  # noqa: ANN401
        self._end(record, Outcome.OK)

    def _lost(self, _connection: object, record: Any, error: BaseException | None) -> None:  # noqa: ANN401
        if error is not None:
            self._observer.failed(self._lane, "unreachable")
        self._end(record, Outcome.OK if error is None else Outcome.FAILURE)

    def _end(self, record: Any, outcome: Outcome) -> None:  # noqa: ANN401
        # A connection that was lost is given back too: only the first of the two counts.
        taken_s = record.info.pop(_TAKEN, None)
        if taken_s is None:
            return
        self._observer.released(self._lane, self._now_s() - taken_s, outcome)
        permit = self._permit()
        if permit is not None:
            permit.finish()
        self._show()

    def _permit(self) -> Permit | None:
        scope = CURRENT.get()
        return None if scope is None else scope.permits.get(self._lane)

    def _show(self) -> None:
        in_use, idle = self._pool.checkedout(), self._pool.checkedin()
        self._record.set(metrics.POOL_CONNECTIONS, (self._lane.value, "in_use"), in_use)
        self._record.set(metrics.POOL_CONNECTIONS, (self._lane.value, "idle"), idle)
