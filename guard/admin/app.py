"""The WSGI application behind the admin listener; it can be mounted on any other server."""

from __future__ import annotations

import gzip
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from guard import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from guard.events import MetricSource

    Environ = dict[str, Any]
    StartResponse = Callable[..., Any]
    Render = Callable[[MetricSource, str], tuple[bytes, str]]

_METHODS = ("GET", "HEAD")
_TITLES = {
    200: "OK",
    404: "Not Found",
    405: "Method Not Allowed",
    501: "Not Implemented",
    503: "Service Unavailable",
}


class WorkerState(NamedTuple):
    """One worker as ``/readyz`` shows it.

    Attributes:
        pid: the worker's process.
        ready: whether it is open for requests.
    """

    pid: int
    ready: bool


class _Answer(NamedTuple):
    status: int
    content_type: str
    body: bytes
    allow: str = ""
    encoding: str = ""


class AdminApp:
    """Answers ``/metrics``, ``/livez``, ``/readyz`` and ``/locks``; thread-safe.

    It touches no database and takes no permit, so it answers whatever state the service is in.

    Args:
        source: the totals over all workers.
        workers: gives each living worker's state for the body of ``/readyz``; where None, the
            sum in ``source`` decides and the body names no worker.
        lock_waits: gives who waits for a lock, for ``/locks``; where None, there is no such path.
    """

    def __init__(
        self,
        source: MetricSource,
        workers: Callable[[], Sequence[WorkerState]] | None = None,
        lock_waits: Callable[[], Sequence[dict[str, Any]]] | None = None,
    ) -> None:
        self._source = source
        self._workers = workers
        self._render = _find_renderer()
        self._views: dict[str, Callable[[Environ], _Answer]] = {
            "/metrics": self._metrics,
            "/livez": self._livez,
            "/readyz": self._readyz,
        }
        if lock_waits is not None:
            self._views["/locks"] = lambda _environ: _json(200, {"waits": list(lock_waits())})

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        answer = self._answer(environ)
        headers = [
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(answer.body))),
            ("Cache-Control", "no-store"),
        ]
        if answer.allow:
            headers.append(("Allow", answer.allow))
        if answer.encoding:
            headers += [("Content-Encoding", answer.encoding), ("Vary", "Accept-Encoding")]
        start_response(f"{answer.status} {_TITLES[answer.status]}", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer.body]

    def _answer(self, environ: Environ) -> _Answer:
        view = self._views.get(environ.get("PATH_INFO", ""))
        if view is None:
            return _problem(404, f"There is {', '.join(self._views)}.")
        if environ["REQUEST_METHOD"] not in _METHODS:
            return _problem(405, "Only GET and HEAD.", allow=", ".join(_METHODS))
        return view(environ)

    def _metrics(self, environ: Environ) -> _Answer:
        if self._render is None:
            return _problem(501, "Metrics need prometheus_client: install wsgi-guard[prometheus].")
        body, content_type = self._render(self._source, environ.get("HTTP_ACCEPT", ""))
        if _takes_gzip(environ.get("HTTP_ACCEPT_ENCODING", "")):
            # The fastest level: it makes a twentieth of it, and more takes the arbiter's time.
            return _Answer(200, content_type, gzip.compress(body, 1), encoding="gzip")
        return _Answer(200, content_type, body)

    def _livez(self, _environ: Environ) -> _Answer:
        return _json(200, {"status": "ok"})

    def _readyz(self, _environ: Environ) -> _Answer:
        if self._workers is None:
            ready = _ready_total(self._source)
            return _json(200 if ready else 503, {"ready": bool(ready), "workers_ready": ready})
        workers = list(self._workers())
        ready = sum(worker.ready for worker in workers)
        document = {
            "ready": bool(ready),
            "workers_ready": ready,
            "workers": [worker._asdict() for worker in workers],
        }
        return _json(200 if ready else 503, document)


def _find_renderer() -> Render | None:
    # At construction and not at the first scrape: a scrape runs in a thread of a process that
    # forks, and a fork in the middle of an import leaves that module's lock held in the child.
    try:
        from guard.export.prometheus import render
    except ImportError:
        return None
    return render


def _takes_gzip(accept_encoding: str) -> bool:
    for part in accept_encoding.lower().split(","):
        coding, _, weight = part.partition(";")
        if coding.strip() == "gzip":
            return re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", weight) is None
    return False


def _ready_total(source: MetricSource) -> int:
    samples = source.collect()
    return int(sum(s.value for s in samples if s.metric is metrics.WORKER_READY))


def _json(status: int, document: dict[str, Any]) -> _Answer:
    return _Answer(status, "application/json", json.dumps(document).encode() + b"\n")


def _problem(status: int, detail: str, allow: str = "") -> _Answer:
    document = {
        "type": "about:blank",
        "title": _TITLES[status],
        "status": status,
        "detail": detail,
    }
    body = json.dumps(document).encode() + b"\n"
    return _Answer(status, "application/problem+json", body, allow)
