"""OpenTelemetry spans of a guarded request. The one place of opentelemetry.

Where ``GUARD_OTEL`` is off nothing of this is loaded: the classes here take the places of those
that they derive from. Spans go to the tracer provider that the process has; without one they
go nowhere.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context, propagate, trace
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import SpanKind, Status, StatusCode

from guard.clock import wall_s
from guard.correlation import Correlation
from guard.database import Database
from guard.export.host import guard_version
from guard.middleware import Guard
from guard.socket_age import ACCEPTED_KEY
from guard.tally import ROUTE_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from opentelemetry.trace import Span

    from guard.backends.base import Bounds
    from guard.core.vocabulary import Lane
    from guard.events import PoolObserver
    from guard.exchange import Exchange
    from guard.routing import Environ

_SPAN_KEY: Final = "guard.span"
_TOKEN_KEY: Final = "guard.span_token"  # noqa: S105 - of a context
_SERVER_ERROR: Final = 500


def _tracer() -> trace.Tracer:
    # A proxy until a provider is set, so it does not matter which of the two comes first.
    return trace.get_tracer("guard", guard_version())


def _now_ns(ago_s: float = 0.0) -> int:
    return round((wall_s() - ago_s) * 1e9)


class _Headers(Getter[dict[str, Any]]):
    """Reads a request's headers from its environ."""

    def get(self, carrier: dict[str, Any], key: str) -> list[str] | None:
        value = carrier.get(f"HTTP_{key.upper().replace('-', '_')}")
        return None if value is None else [value]

    def keys(self, carrier: dict[str, Any]) -> list[str]:
        return [name[5:].lower().replace("_", "-") for name in carrier if name.startswith("HTTP_")]


_HEADERS: Final = _Headers()


class TracedGuard(Guard):
    """A guard whose requests have a SERVER span, refused or not, and one for their admission.

    An instrumentation of the framework behind it sees that there is a span, and makes inner ones.
    """

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - all of Guard's
        super().__init__(*args, **options)
        self._tracer = _tracer()
        self._names = self._correlate
        self._correlate = self._named_by_span

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer the request inside its span."""
        accepted_s = environ.get(ACCEPTED_KEY)
        age_s = self._age_s(environ) if accepted_s is None else self._now_s() - accepted_s
        span = self._tracer.start_span(
            environ["REQUEST_METHOD"],
            propagate.extract(environ, context.Context(), _HEADERS),
            SpanKind.SERVER,
            {
                "http.request.method": environ["REQUEST_METHOD"],
                "url.path": environ.get("PATH_INFO", ""),
                "url.scheme": environ.get("wsgi.url_scheme", "http"),
            },
            start_time=_now_ns(age_s),
        )
        environ[_SPAN_KEY] = span
        environ[_TOKEN_KEY] = context.attach(trace.set_span_in_context(span))
        return super().__call__(environ, start_response)

    def _named_by_span(self, environ: Environ) -> Correlation | None:
        names = self._names(environ)
        found: Span = environ[_SPAN_KEY]
        own = found.get_span_context()
        if not own.is_valid:
            return names
        return Correlation(
            names.request_id if names else "",
            trace.format_trace_id(own.trace_id),
            trace.format_span_id(own.span_id),
            own.trace_flags.sampled,
        )

    def _enters(self, exchange: Exchange, lane: Lane, now_s: float) -> bool:
        enters = super()._enters(exchange, lane, now_s)
        waited_s = self._now_s() - exchange.arrived_s
        attributes = {"guard.lane": lane.value, "guard.reason": exchange.reason.value}
        span = self._tracer.start_span(
            "guard.admission", attributes=attributes, start_time=_now_ns(waited_s)
        )
        span.end()
        return enters

    def finish(self, exchange: Exchange) -> None:
        """Finish the request, then its span."""
        try:
            super().finish(exchange)
        finally:
            environ = exchange.environ
            context.detach(environ.pop(_TOKEN_KEY))
            _end(environ.pop(_SPAN_KEY), exchange)


def _end(span: Span, exchange: Exchange) -> None:
    code, reason = int(exchange.status[:3]), exchange.reason
    span.set_attribute("http.response.status_code", code)
    span.set_attribute("guard.reason", reason.value)
    route = exchange.environ.get(ROUTE_KEY)
    if route is not None:
        span.set_attribute("http.route", route)
        span.update_name(f"{exchange.environ['REQUEST_METHOD']} {route}")
    if code >= _SERVER_ERROR:
        span.set_status(Status(StatusCode.ERROR))
        span.set_attribute("error.type", reason.value if reason.sheds else str(code))
    span.end()


class TracedDatabase(Database):
    """A database whose uses have a span: the wait for a connection and the unit of work."""

    @contextmanager
    def _turn(self, lane: Lane) -> Iterator[Bounds]:
        system = "postgresql" if self.dialect == "postgres" else self.dialect
        with (
            _tracer().start_as_current_span(
                f"guard.{lane.value}",
                kind=SpanKind.CLIENT,
                attributes={"db.system.name": system, "guard.lane": lane.value},
            ),
            super()._turn(lane) as bounds,
        ):
            yield bounds


class TracedObserver:
    """Makes a span of each wait for a connection, and hands on all that it hears.

    Args:
        inner: hears everything.
    """

    def __init__(self, inner: PoolObserver) -> None:
        self._inner = inner
        self._tracer = _tracer()
        self.released = inner.released
        self.queried = inner.queried
        self.failed = inner.failed
        self.batched = inner.batched
        self.lock_waited = inner.lock_waited
        self.locks_sampled = inner.locks_sampled
        self.disconnected = inner.disconnected

    def acquired(self, lane: Lane, waited_s: float, *, got: bool) -> None:
        """Make the span; called in the thread that has waited."""
        attributes = {"guard.lane": lane.value, "guard.acquired": got}
        span = self._tracer.start_span(
            "guard.pool_wait", attributes=attributes, start_time=_now_ns(waited_s)
        )
        span.end()
        self._inner.acquired(lane, waited_s, got=got)
