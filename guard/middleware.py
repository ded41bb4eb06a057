"""WSGI in, a permit or a 503 out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from guard import metrics
from guard.core.vocabulary import Mode, Reason
from guard.errors import GuardError
from guard.problem import Response, refusal, response_for, status_line
from guard.request import CURRENT, RequestScope
from guard.routing import Environ, Routing, lane_of_method

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from guard.controller import Controller
    from guard.core.vocabulary import Lane
    from guard.events import Recorder

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
ROUTE_KEY = "guard.route"
"""Environ key under which an application tells its URL rule, for the metrics' labels."""


class NullRecorder:
    """A Recorder that keeps nothing, for a Guard without metrics."""

    def add(self, *args: object) -> None:
        """Do nothing."""

    def set(self, *args: object) -> None:
        """Do nothing."""

    def observe(self, *args: object) -> None:
        """Do nothing."""


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
        hold: ``request``: every request that is not exempt holds a permit until its response
            is closed, for an application with database access of its own. ``connection``:
            the early check only, and the permit is taken by ``guard.database.Database``.
        age_s: tells from the environ how long ago the request was accepted, in seconds.
        problem_type: the ``type`` URI of refusals.
        on_shed: called with the lane and the reason of each refusal, outside of every lock.
    """

    def __init__(  # noqa: PLR0913 - every part has a sound default
        self,
        app: Callable[[Environ, Callable[..., Any]], Iterable[bytes]],
        controller: Controller,
        *,
        recorder: Recorder | None = None,
        routing: Routing | None = None,
        hold: Literal["request", "connection"] = "request",
        age_s: Callable[[Environ], float] = no_age,
        problem_type: str = "about:blank",
        on_shed: Callable[[Lane, Reason], None] | None = None,
    ) -> None:
        self._app = app
        self._controller = controller
        self._recorder = recorder or NullRecorder()
        self._lane_of = (routing or Routing()).lane_of
        self._holds_request = hold == "request"
        self._age_s = age_s
        self._problem_type = problem_type
        self._on_shed = on_shed

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer the request; see PEP 3333."""
        started_s = self._controller.clock.now_s()
        age_s = self._age_s(environ)
        if self._age_s is not no_age:
            self._recorder.observe(metrics.QUEUE_WAIT, ("kernel",), age_s)
            self._controller.arrived(age_s)
        lane = self._lane_of(environ)
        scope = self._controller.scope(lane, age_s)
        exchange = _Exchange(self, environ, start_response, scope, started_s)
        reason = Reason.EXEMPT if lane is None else self._enter(scope, lane)
        scope.reason = reason
        if lane is not None and reason.sheds and not scope.would_shed:
            scope.retry_after_s = self._controller.retry_after_s(lane, reason)
            return exchange.refuse(refusal(reason, scope.retry_after_s, self._problem_type))
        CURRENT.set(scope)
        return exchange.run(self._app)

    def _enter(self, scope: RequestScope, lane: Lane) -> Reason:
        controller = self._controller
        if not self._holds_request:
            decision = controller.check(scope, lane)
            scope.would_shed = not decision.admitted and controller.mode is Mode.SHADOW
            return decision.reason
        decision, permit = controller.admit(scope, lane)
        if permit is not None:
            scope.permits[lane] = permit
            scope.would_shed = not decision.admitted
        return decision.reason

    def problem(self, error: GuardError) -> Response:
        """Return the response for an error that the application let through."""
        return response_for(error, self._problem_type)

    def finish(self, exchange: _Exchange) -> None:
        """Release the request's permits and count it, exactly once."""
        scope = exchange.scope
        try:
            scope.release()
        finally:
            CURRENT.set(None)
            took_s = self._controller.clock.now_s() - exchange.started_s
            self._count(exchange.environ, scope, exchange.status, took_s)

    def consider(self, environ: Environ) -> Response | None:
        """Return the refusal that the request would get anyway, counted; None to let it through.

        For a server that can answer before it gives the request a thread. Of the environ only
        method, path and query are needed. A request that is let through is decided again.
        """
        lane = self._lane_of(environ)
        controller = self._controller
        if lane is None or controller.mode is not Mode.ENFORCE:
            return None
        started_s = controller.clock.now_s()
        # The request would still have to wait as long as those that got through last.
        scope = controller.scope(lane, controller.queue_age_s)
        scope.reason = controller.check(scope, lane).reason
        if not scope.reason.sheds:
            return None
        scope.retry_after_s = controller.retry_after_s(lane, scope.reason)
        response = refusal(scope.reason, scope.retry_after_s, self._problem_type)
        self._count(environ, scope, "503", controller.clock.now_s() - started_s)
        return response

    def _count(self, environ: Environ, scope: RequestScope, status: str, took_s: float) -> None:
        record = self._recorder
        method = environ["REQUEST_METHOD"]
        if method not in _METHODS:
            method = "(other)"
        route = environ.get(ROUTE_KEY, "(unmatched)")
        lane = scope.lane or lane_of_method(environ)
        reason = scope.reason
        if reason.sheds and not scope.would_shed and not status.startswith("503"):
            reason = Reason.OK  # the application caught the refusal and answered otherwise
        record.add(metrics.HTTP_RESPONSES, (method, route, status[:3]))
        if scope.would_shed:
            decision = "would_shed"
            record.observe(metrics.WOULD_SHED_DURATION, (), took_s)
        elif reason.sheds:
            record.add(metrics.DECISIONS_TOTAL, ("shed", reason.value, lane.value))
            record.observe(metrics.SHED_DURATION, (), took_s)
            record.observe(metrics.RETRY_AFTER, (), scope.retry_after_s)
            if self._on_shed is not None:
                self._on_shed(lane, reason)
            return
        else:
            decision = "bypassed" if reason is Reason.EXEMPT else "admitted"
            if decision == "admitted" and self._holds_request:
                self._controller.held(lane, took_s)
        record.add(metrics.DECISIONS_TOTAL, (decision, reason.value, lane.value))
        record.observe(metrics.HTTP_DURATION, (method, route), took_s)


class _Exchange:
    """One request's way through the application; also the body that the server iterates."""

    __slots__ = (
        "_body", "_guard", "_iterator", "_start_response", "_untouched",
        "environ", "finished", "scope", "started",
        "started_s", "status",
    )  # fmt: skip

    def __init__(
        self,
        guard: Guard,
        environ: Environ,
        start_response: Callable[..., Any],
        scope: RequestScope,
        started_s: float,
    ) -> None:
        self._guard = guard
        self.environ = environ
        self._start_response = start_response
        self.scope = scope
        self.started_s = started_s
        self.status = "500"
        self.started = False
        self.finished = False
        self._body: Iterable[bytes] = ()
        self._iterator: Iterator[bytes] | None = None
        self._untouched = True

    def run(self, app: Callable[..., Iterable[bytes]]) -> Iterable[bytes]:
        try:
            body = app(self.environ, self._start)
        except GuardError as error:
            return self.refuse(self._guard.problem(error), replace=True)
        except BaseException:
            self._finish()
            raise
        self._body = body
        wrapper = self.environ.get("wsgi.file_wrapper")
        if isinstance(wrapper, type) and isinstance(body, wrapper):
            return self._pass_through(body)
        return self

    def _start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:  # noqa: ANN401
        self.status = status
        self.started = True
        if exc_info is None:
            return self._start_response(status, headers)
        return self._start_response(status, headers, exc_info)

    def force_close(self) -> None:
        """Close the connection after this response, for an application that leaves a body unread.

        Found by ``start_response.__self__``, where gunicorn's own response object has it too.
        """
        close_connection(self._start_response)

    def _pass_through(self, body: Any) -> Iterable[bytes]:  # noqa: ANN401
        # The server recognises its own file wrapper by type and may use sendfile, so the
        # wrapper itself goes back to it, with our close() in front of its own.
        self._body = (body,)
        close = getattr(body, "close", None)

        def close_both() -> None:
            try:
                if close is not None:
                    close()
            finally:
                self._finish()

        body.close = close_both
        found: Iterable[bytes] = body
        return found

    def refuse(self, response: Response, *, replace: bool = False) -> Iterable[bytes]:
        """Answer with ``response`` in the application's place and finish."""
        if self.environ.get("CONTENT_LENGTH") or self.environ.get("HTTP_TRANSFER_ENCODING"):
            close_connection(self._start_response)
        try:
            line = status_line(response.status)
            if replace and self.started:
                import sys

                self._start_response(line, response.headers, sys.exc_info())
            else:
                self._start_response(line, response.headers)
            self.status = line
        finally:
            self._finish()
        return () if self.environ["REQUEST_METHOD"] == "HEAD" else (response.body,)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._iterator is None:
            self._iterator = iter(self._body)
        try:
            chunk = next(self._iterator)
        except GuardError as error:
            if not self._untouched:
                raise
            # A body that asks for the database at its first chunk: no byte has left yet.
            self._untouched = False
            return b"".join(self.refuse(self._guard.problem(error), replace=True))
        if chunk:
            self._untouched = False
        return chunk

    def close(self) -> None:
        """End the exchange, whatever the application's own close does."""
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            self._finish()

    def _finish(self) -> None:
        # A server may close twice, and a refusal finishes before its close.
        if not self.finished:
            self.finished = True
            self._guard.finish(self)


def close_connection(start_response: Callable[..., Any]) -> None:
    """Have the server close the connection after this response, where it can be told to."""
    # An unread body would hold a thread until the client has sent it. gunicorn drops an
    # application's Connection header and closes when its response object is told to;
    # elsewhere the header is the server's own to set (PEP 3333 forbids hop-by-hop headers).
    force_close = getattr(getattr(start_response, "__self__", None), "force_close", None)
    if force_close is not None:
        force_close()
