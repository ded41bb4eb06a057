"""WSGI in, a permit or a 503 out."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Final, Literal

from guard import metrics
from guard.core.request_times import allowed_s
from guard.core.vocabulary import Mode, Reason
from guard.correlation import no_correlation
from guard.exchange import Exchange
from guard.problem import Response, dropped, refusal, response_for
from guard.relief import NO_RELIEF, Relief
from guard.request import CURRENT
from guard.routing import Environ, Routing, environ_key
from guard.socket_age import ACCEPTED_KEY, hung_up
from guard.tally import CACHED, NullRecorder, RequestTally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from guard.controller import Controller
    from guard.core.vocabulary import Lane
    from guard.correlation import Correlate, Correlation
    from guard.errors import GuardError
    from guard.events import Recorder
    from guard.ranking import Ranking
    from guard.request import RequestScope

LOOK_EVERY: Final = 8
"""While no queue is seen in front of the application, the age of one in so many is asked for:
the kernel's answer costs as much as a third of all else here."""
QUEUE_SEEN_S: Final = 0.005
"""An age over this (the kernel's clock has steps of 4 ms) is a queue: each age is asked for."""
PRESSED_S: Final = 0.1
"""So long after a refusal the next ones are expected."""

_KERNEL, _EXECUTOR = ("kernel",), ("executor",)
_OK, _EXEMPT, _GONE = Reason.OK, Reason.EXEMPT, Reason.CLIENT_GONE
_ENFORCE, _SHADOW, _OFF = Mode.ENFORCE, Mode.SHADOW, Mode.OFF


def no_age(_environ: Environ) -> float:
    """Return 0: the server does not tell when it accepted the request."""
    return 0.0


class Guard:
    """Wraps a WSGI application; sheds before it, or admits and watches. Thread-safe.

    Args:
        app: the application.
        controller: decides.
        recorder: takes the measurements.
        routing: tells a request's lane.
        ranking: tells a request's class and its client.
        hold: ``request``: every request that is not exempt holds a permit until its response
            is closed, for an application with database access of its own. ``connection``:
            the early check only, and the permit is taken by ``guard.database.Database``.
        age_s: tells from the environ how long ago the request was accepted, in seconds.
        deadline_header: the request header with a client's own deadline in milliseconds; empty
            for none.
        problem_type: the ``type`` URI of refusals.
        correlate: finds the names by which others know a request; ``X-Request-ID`` is then
            handed back with the response.
        on_named: called with the method, the route and the duration in seconds of each admitted
            request that has such names, and with them.
        on_shed: called with the lane and the reason of each refusal, and of each request that
            was dropped since its client has gone, outside of every lock.
        relief: what may be given in place of a refusal.

    Attributes:
        headers: names of the request headers that ``consider`` looks at; None where it may be any.
    """

    def __init__(  # noqa: PLR0913 - every part has a sound default
        self,
        app: Callable[[Environ, Callable[..., Any]], Iterable[bytes]],
        controller: Controller,
        *,
        recorder: Recorder | None = None,
        routing: Routing | None = None,
        ranking: Ranking | None = None,
        hold: Literal["request", "connection"] = "request",
        age_s: Callable[[Environ], float] = no_age,
        deadline_header: str = "",
        problem_type: str = "about:blank",
        correlate: Correlate = no_correlation,
        on_named: Callable[[tuple[str, str], float, Correlation], None] | None = None,
        on_shed: Callable[[Lane, Reason], None] | None = None,
        relief: Relief = NO_RELIEF,
    ) -> None:
        self._app = app
        self._controller = controller
        self._now_s = controller.clock.now_s
        self._deadline_key = environ_key(deadline_header)
        self._recorder = recorder or NullRecorder()
        self._tally = RequestTally(self._recorder, on_shed, on_named)
        self._correlate = correlate
        self._lane_of = (routing or Routing()).lane_of
        self._rank = ranking.rank if ranking else None
        self._takes, self._spare = relief.takes, relief.spare
        named = ranking.headers if ranking else ()
        own = (deadline_header,) if deadline_header else ()
        self.headers = None if named is None else (*named, *own, *relief.headers)
        self._holds_request = hold == "request"
        self._age_s = age_s
        # Threads race for it, and the worst is one look too many or too few.
        self._looks_to_skip: float = inf if age_s is no_age else -1
        self._problem_type = problem_type
        self._refused_at_s = -inf

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer the request; see PEP 3333."""
        now_s = self._now_s()
        arrived_s = environ.get(ACCEPTED_KEY, now_s)
        if self._looks_to_skip > 0 and now_s - arrived_s < QUEUE_SEEN_S:
            self._looks_to_skip -= 1
        else:
            arrived_s = self._look(environ, now_s)
        lane = self._lane_of(environ)
        longest_s = self._controller.rules.deadline_s
        wanted = environ.get(self._deadline_key)
        within_s = longest_s if wanted is None else allowed_s(wanted, longest_s)
        exchange = Exchange(
            self, environ, start_response, lane, arrived_s, arrived_s + within_s, now_s
        )
        correlation = self._correlate(environ)
        if correlation is not None:
            exchange.name(correlation)
            CURRENT.set(exchange)  # a refusal's log line has the names too
        if lane is None:
            exchange.reason = _EXEMPT
        elif now_s - arrived_s > QUEUE_SEEN_S and self._is_dropped(exchange):
            return exchange.refuse(dropped(self._problem_type))
        elif not self._enters(exchange, lane, now_s):
            return exchange.refuse(self._refusal(environ, exchange, lane))
        CURRENT.set(exchange)
        return exchange.run(self._app)

    def _look(self, environ: Environ, now_s: float) -> float:
        accepted_s = environ.get(ACCEPTED_KEY)
        queue = _KERNEL if accepted_s is None else _EXECUTOR
        age_s = self._age_s(environ) if accepted_s is None else now_s - accepted_s
        before, self._looks_to_skip = self._looks_to_skip, LOOK_EVERY - 1
        # One that is looked at while no queue is seen stands for those that were not.
        times = LOOK_EVERY if before == 0 else 1
        if age_s > QUEUE_SEEN_S:
            self._looks_to_skip, times = -1, 1
        self._recorder.observe(metrics.QUEUE_WAIT, queue, age_s, times)
        self._controller.arrived(age_s, now_s)
        return now_s - age_s

    def _is_dropped(self, exchange: Exchange) -> bool:
        # In shadow mode it waited only since nothing is shed: what would have become of it the
        # lane's model tells.
        if self._controller.mode is not _ENFORCE or not exchange.client_gone():
            return False
        exchange.reason = _GONE
        return True

    def _enters(self, exchange: Exchange, lane: Lane, now_s: float) -> bool:
        if self._rank is not None:
            self._rank(exchange.environ, exchange)
        if self._holds_request:
            decision, permit = self._controller.admit(exchange, lane, now_s)
            if permit is not None:
                exchange.permits[lane] = permit
        else:
            decision = self._controller.check(exchange, lane, now_s)
        reason, mode = decision.reason, self._controller.mode
        if reason is _OK:
            return True
        if mode is _ENFORCE and self._takes(exchange.environ, reason, now_s - exchange.arrived_s):
            return True
        exchange.reason = reason
        exchange.would_shed = mode is _SHADOW
        return exchange.would_shed

    def _refusal(self, environ: Environ, scope: RequestScope, lane: Lane) -> Response:
        """Return the answer to a request that found no room: a kept one, or the refusal."""
        spare = self._spare(environ)
        if spare is not None:
            self._refused_at_s = self._now_s()
            scope.relieved = CACHED
            return spare
        scope.retry_after_s = self._controller.retry_after_s(lane, scope.reason)
        return refusal(scope.reason, scope.retry_after_s, self._problem_type)

    def problem(self, error: GuardError) -> Response:
        """Return the response for an error that the application let through."""
        return response_for(error, self._problem_type)

    def finish(self, exchange: Exchange) -> None:
        """Release the request's permits and count it; called once per exchange."""
        now_s = self._now_s()
        took_s = now_s - exchange.started_s
        if exchange.retry_after_s:
            self._refused_at_s = now_s
        try:
            # A permit of the whole request is a slot held: its time feeds the predicted wait.
            exchange.release(took_s if self._holds_request else None)
        finally:
            try:
                self._tally.count(exchange.environ, exchange, exchange.status, took_s)
            finally:
                CURRENT.set(None)

    def pressed(self) -> bool:
        """Return whether a request was refused within the last ``PRESSED_S`` seconds."""
        return self._now_s() - self._refused_at_s < PRESSED_S

    def consider(self, environ: Environ, waiting_s: float = 0.0) -> Response | None:
        """Return the refusal that the request would get anyway, counted; None to let it through.

        For a server that can answer before it gives the request a thread. A request that is
        let through is decided again.

        Args:
            environ: of it only method, path, query, peer, the fields of ``headers``, and gunicorn's
                socket where there is one.
            waiting_s: how long the request would wait for a thread, seconds.
        """
        lane = self._lane_of(environ)
        controller = self._controller
        if lane is None or controller.mode is not _ENFORCE:
            return None
        started_s = self._now_s()
        # What waits in the kernel in front of the server is as old as what got through last.
        age_s = max(waiting_s, controller.queue_age_s)
        scope = controller.scope(lane, age_s)
        if self._rank is not None:
            self._rank(environ, scope)
        wanted = environ.get(self._deadline_key)
        if wanted is not None:
            scope.deadline_at_s = scope.arrived_s + allowed_s(wanted, controller.rules.deadline_s)
        reason = controller.check(scope, lane, started_s).reason
        if reason is _OK or self._takes(environ, reason, age_s):
            return None
        self._refused_at_s = started_s
        if age_s > QUEUE_SEEN_S and hung_up(environ):
            scope.reason, response = _GONE, dropped(self._problem_type)
        else:
            scope.reason = reason
            response = self._refusal(environ, scope, lane)
        self._tally.count(environ, scope, str(response.status), self._now_s() - started_s)
        return response
