"""The admin application, under two WSGI validators."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING
from wsgiref.validate import validator

import pytest
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.lint import LintMiddleware
from werkzeug.test import Client, TestResponse

from guard import metrics
from guard.admin import AdminApp, WorkerState
from guard.metrics import Sample

if TYPE_CHECKING:
    from collections.abc import Iterable


class Totals:
    """A source with some ready workers."""

    def __init__(self, ready: int) -> None:
        self.ready = ready

    def collect(self) -> Iterable[Sample]:
        yield Sample(metrics.LIMIT, ("read",), 4.0)
        yield Sample(metrics.WORKER_READY, (), self.ready)


def ask(app: AdminApp, path: str, method: str = "GET") -> TestResponse:
    """Ask through both validators; the answers must be the same."""
    responses = []
    # werkzeug's takes a HEAD answer's Content-Length for a mistake.
    for wrapped in (app if method == "HEAD" else LintMiddleware(app), validator(app)):
        with Client(wrapped).open(path, method=method, buffered=True) as response:
            response.get_data()
            responses.append(response)
    assert responses[0].data == responses[1].data
    return responses[0]


def test_metrics() -> None:
    pytest.importorskip("guard.export.prometheus")
    response = ask(AdminApp(Totals(1)), "/metrics")
    assert response.status_code == 200
    assert response.content_type.startswith("text/plain")
    assert 'guard_concurrency_limit{lane="read"} 4.0' in response.text
    assert response.headers["Cache-Control"] == "no-store"


def test_livez() -> None:
    response = ask(AdminApp(Totals(0)), "/livez")
    assert (response.status_code, response.json) == (200, {"status": "ok"})


@pytest.mark.parametrize(("ready", "status"), [(0, 503), (1, 200), (3, 200)])
def test_readyz_by_the_sum(ready: int, status: int) -> None:
    response = ask(AdminApp(Totals(ready)), "/readyz")
    assert response.status_code == status
    assert response.json == {"ready": bool(ready), "workers_ready": ready}


def test_readyz_by_worker() -> None:
    workers = [WorkerState(11, ready=True), WorkerState(12, ready=False)]
    response = ask(AdminApp(Totals(0), lambda: workers), "/readyz")
    assert response.status_code == 200
    assert response.json == {
        "ready": True,
        "workers_ready": 1,
        "workers": [{"pid": 11, "ready": True}, {"pid": 12, "ready": False}],
    }
    assert ask(AdminApp(Totals(1), list), "/readyz").status_code == 503


@pytest.mark.parametrize("path", ["/metrics", "/livez", "/readyz", "/nothing"])
def test_head_is_get_without_a_body(path: str) -> None:
    app = AdminApp(Totals(1))
    if path == "/metrics":
        pytest.importorskip("guard.export.prometheus")
    got, head = ask(app, path), ask(app, path, "HEAD")
    assert head.status_code == got.status_code
    assert dict(head.headers) == dict(got.headers)
    assert head.data == b""


def test_unknown_path_and_method() -> None:
    response = ask(AdminApp(Totals(1)), "/nothing")
    assert response.status_code == 404
    assert response.content_type == "application/problem+json"
    assert "/metrics" in json.loads(response.data)["detail"]
    response = ask(AdminApp(Totals(1)), "/metrics", "POST")
    assert (response.status_code, response.headers["Allow"]) == (405, "GET, HEAD")


def test_without_prometheus_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "guard.export.prometheus", None)
    response = ask(AdminApp(Totals(1)), "/metrics")
    assert response.status_code == 501
    assert "wsgi-guard[prometheus]" in response.text


def test_mounted_below_a_prefix() -> None:
    app = DispatcherMiddleware(lambda _e, _s: [], {"/admin": AdminApp(Totals(1))})
    with Client(app).get("/admin/livez") as response:
        assert response.json == {"status": "ok"}


@pytest.mark.parametrize(
    ("accept", "compressed"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("gzip;q=0.001", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("x-gzip", False),
    ],
)
def test_metrics_are_compressed_where_the_client_asks(accept: str, *, compressed: bool) -> None:
    app = AdminApp(Totals(1))
    plain = ask(app, "/metrics").data
    with Client(app).get("/metrics", headers={"Accept-Encoding": accept}) as response:
        assert response.headers.get("Content-Encoding") == ("gzip" if compressed else None)
        assert response.content_length == len(response.data)
        assert (gzip.decompress(response.data) if compressed else response.data) == plain


def test_lock_waits_are_told_where_somebody_knows_them() -> None:
    assert ask(AdminApp(Totals(1)), "/locks").status_code == 404
    app = AdminApp(Totals(1), lock_waits=lambda: [{"pid": 12}])
    assert ask(app, "/locks").json == {"waits": [{"pid": 12}]}
