"""OpenTelemetry spans, as the SDK's exporter in memory gets them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode
from werkzeug.test import EnvironBuilder, run_wsgi_app

from guard.assembly import assemble
from guard.controller import Controller
from guard.core.admission import Limits
from guard.core.vocabulary import Lane, Policy
from guard.correlation import correlate_by, new_id
from guard.database import Database
from guard.errors import SettingsError, Shed
from guard.meter import PoolMeter
from guard.middleware import Guard
from guard.parts import Parts, parts
from guard.request import CURRENT
from guard.rules import Rules
from guard.settings import load
from guard.tally import ROUTE_KEY
from guard.testing import FakeClock, MemoryBackend, MemoryRecorder
from guard.tracing import TracedDatabase, TracedGuard, TracedObserver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from guard.correlation import Correlation

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class World:
    """A traced application that reads the database once, and its spans."""

    def __init__(self, **provider: Any) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(**provider)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.correlations: list[Correlation | None] = []
        self.error: Exception | None = None
        self.clock = FakeClock()

    def build(self, slots: int = 1) -> Guard:
        meter = PoolMeter(MemoryRecorder())
        backend = MemoryBackend(observer=TracedObserver(meter), clock=self.clock)
        limits = Limits(Policy.PREDICTIVE, permits_max=2, waiters_max=0, wait_budget_s=0.1)
        rules = Rules(lanes=dict.fromkeys(Lane, limits))
        controller = Controller(rules, dict.fromkeys(Lane, lambda: slots), clock=self.clock)
        self.database = TracedDatabase(backend, controller, "postgres")
        return TracedGuard(
            self.app, controller, hold="connection", age_s=lambda _: 0.25,
            correlate=correlate_by("accept", new_id),
        )  # fmt: skip

    def app(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        scope = CURRENT.get()
        assert scope is not None
        self.correlations.append(scope.correlation)
        environ[ROUTE_KEY] = "/items/<id>"
        if self.error is not None:
            raise self.error
        self.database.read(lambda session: session.execute("SELECT 1"))
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    def get(self, guard: Guard, **headers: str) -> Any:
        environ = EnvironBuilder(path="/items/1", headers=headers).get_environ()
        return run_wsgi_app(guard, environ, buffered=True)

    def spans(self) -> dict[str, Any]:
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(trace, "get_tracer", made.provider.get_tracer)
    return made


def test_an_admitted_request_has_spans_for_all_its_waits(world: World) -> None:
    world.get(world.build(), traceparent=f"00-{TRACE}-{SPAN}-01")
    spans = world.spans()
    assert set(spans) == {"GET /items/<id>", "guard.admission", "guard.read", "guard.pool_wait"}
    server, unit = spans["GET /items/<id>"], spans["guard.read"]
    assert server.kind is SpanKind.SERVER
    assert f"{server.parent.span_id:016x}" == SPAN
    assert {f"{span.context.trace_id:032x}" for span in spans.values()} == {TRACE}
    for name, parent in {
        "guard.admission": server, "guard.read": server, "guard.pool_wait": unit,
    }.items():  # fmt: skip
        assert spans[name].parent.span_id == parent.context.span_id
    assert server.attributes["http.response.status_code"] == 200
    assert server.attributes["http.route"] == "/items/<id>"
    assert server.status.status_code is StatusCode.UNSET
    assert spans["guard.admission"].attributes == {"guard.lane": "read", "guard.reason": "ok"}
    # It began when the request was accepted.
    waited_ns = spans["guard.admission"].end_time - spans["guard.admission"].start_time
    assert waited_ns >= 250_000_000
    assert unit.attributes["db.system.name"] == "postgresql"
    assert unit.kind is SpanKind.CLIENT
    assert not trace.get_current_span().get_span_context().is_valid


def test_log_lines_and_exemplars_get_the_servers_span(world: World) -> None:
    guard = world.build()
    world.get(guard, **{"X-Request-ID": "abc"})
    server = world.spans()["GET /items/<id>"]
    [names] = world.correlations
    assert names is not None
    assert names.request_id == "abc"
    assert names.trace_id == f"{server.context.trace_id:032x}"
    assert names.span_id == f"{server.context.span_id:016x}"
    assert names.sampled
    assert server.parent is None


def test_a_refusal_has_a_span_too(world: World) -> None:
    world.get(world.build(slots=0))
    spans = world.spans()
    assert set(spans) == {"GET", "guard.admission"}
    assert spans["GET"].status.status_code is StatusCode.ERROR
    assert spans["GET"].attributes["error.type"] == "pool_saturated"
    assert spans["guard.admission"].attributes["guard.reason"] == "pool_saturated"


def test_an_application_that_fails_ends_its_span(world: World) -> None:
    guard = world.build()
    world.error = ValueError("broken")
    with pytest.raises(ValueError, match="broken"):
        world.get(guard)
    server = world.spans()["GET /items/<id>"]
    assert server.attributes["error.type"] == "500"
    assert not trace.get_current_span().get_span_context().is_valid


def test_outside_a_request_a_refusal_of_the_exact_gate_is_recorded(world: World) -> None:
    world.build(slots=0)
    with pytest.raises(Shed):
        world.database.read(lambda _: None)
    [span] = world.exporter.get_finished_spans()
    assert span.name == "guard.read"
    assert span.status.status_code is StatusCode.ERROR


def test_what_is_not_sampled_is_marked_so(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(sampler=ALWAYS_OFF)
    monkeypatch.setattr(trace, "get_tracer", world.provider.get_tracer)
    world.get(world.build())
    assert world.spans() == {}
    [names] = world.correlations
    assert names is not None
    assert not names.sampled


def test_without_a_provider_the_callers_names_stay(world: World, monkeypatch: Any) -> None:
    monkeypatch.setattr(trace, "get_tracer", trace.NoOpTracerProvider().get_tracer)
    world.get(world.build(), traceparent=f"00-{TRACE}-{SPAN}-01")
    world.get(world.build())
    first, second = world.correlations
    assert first is not None
    assert (first.trace_id, first.span_id) == (TRACE, SPAN)
    assert second is None


def test_the_plain_parts_know_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = load(environ={}).settings
    traced = load(environ={"GUARD_OTEL": "true"}).settings
    assert parts(plain) == Parts(Guard, Database)
    assert parts(traced) == (TracedGuard, TracedDatabase, TracedObserver)
    monkeypatch.setitem(sys.modules, "guard.tracing", None)
    assert parts(plain) == Parts()
    with pytest.raises(SettingsError, match=r"GUARD_OTEL.*wsgi-guard\[otel\]"):
        parts(traced)


def test_a_setting_puts_the_traced_parts_together() -> None:
    assembly = assemble(load(environ={"GUARD_OTEL": "true"}).settings)
    try:
        assert type(assembly.wrap(lambda *_: [])) is TracedGuard
    finally:
        assembly.close()
