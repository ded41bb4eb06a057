"""The WSGI application behind the admin listener; it can be mounted on any other server."""

from __future__ import annotations

import gzip
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guard import metrics
from guard.admin.access import CHALLENGE, allowed, named_here
from guard.admin.answers import TEXT, TITLES, Answer, json_answer, problem
from guard.admin.status import StatusViews

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from guard.admin.status import StatusSource
    from guard.events import MetricSource

    Environ = dict[str, Any]
    StartResponse = Callable[..., Any]
    Render = Callable[[MetricSource, str], tuple[bytes, str]]

_METHODS: Final = ("GET", "HEAD")
_OPEN: Final = ("/livez", "/readyz")
"""What an orchestrator asks: answered to everybody."""
POLICY: Final = (
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "object-src 'none'"
)
"""Content-Security-Policy: nothing but our own files, and no frame around them."""
_GZIPPED: Final = (
    ("Cache-Control", "no-store"), ("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding"),
)  # fmt: skip
_SAFE: Final = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
)


class WorkerState(NamedTuple):
    """One worker as ``/readyz`` shows it.

    Attributes:
        pid: the worker's process.
        ready: whether it is open for requests.
    """

    pid: int
    ready: bool


class AdminApp:
    """Answers the operator's page, ``/status``, ``/metrics``, ``/locks``, ``/livez``, ``/readyz``.

    It touches no database and takes no permit, so it answers whatever state the service is in.

    Args:
        source: the totals over all workers.
        workers: gives each living worker's state for the body of ``/readyz``; where None, the
            sum in ``source`` decides and the body names no worker.
        lock_waits: gives who waits for a lock, for ``/locks``; where None, there is no such path.
        status: what the page and ``/status`` show; they are not there where it is None.
        token: what a client must know for everything but the health probes; empty: nothing.
        local: the address is a loopback one: a request that names another host is refused, but
            for the health probes.
    """

    def __init__(
        self,
        source: MetricSource,
        workers: Callable[[], Sequence[WorkerState]] | None = None,
        lock_waits: Callable[[], Sequence[dict[str, Any]]] | None = None,
        *,
        status: StatusSource | None = None,
        token: str = "",
        local: bool = False,
    ) -> None:
        self._source = source
        self._workers = workers
        self._token = token
        self._local = local
        self._render = _find_renderer()
        self._views: dict[str, Callable[[Environ], Answer]] = {
            "/metrics": self._metrics,
            "/livez": self._livez,
            "/readyz": self._readyz,
        }
        if lock_waits is not None:
            self._views["/locks"] = lambda _environ: json_answer(200, {"waits": list(lock_waits())})
        self._pages = StatusViews(status).views if status is not None else {}
        self._views |= self._pages

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        answer = self._answer(environ)
        headers = [*answer.headers, *_SAFE]
        if answer.status != 304:  # noqa: PLR2004 - Not Modified has no body to describe
            headers += [
                ("Content-Type", answer.content_type),
                ("Content-Length", str(len(answer.body))),
            ]
        start_response(f"{answer.status} {TITLES[answer.status]}", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" or not answer.body else [answer.body]

    def _answer(self, environ: Environ) -> Answer:
        path = environ.get("PATH_INFO", "")
        if path not in _OPEN and not allowed(environ.get("HTTP_AUTHORIZATION", ""), self._token):
            return problem(
                401, "This needs the token of GUARD_ADMIN_TOKEN.", ("WWW-Authenticate", CHALLENGE)
            )
        if path not in _OPEN and self._local and not named_here(environ.get("HTTP_HOST", "")):
            return problem(421, "This listener is for this machine: ask for 127.0.0.1.")
        view = self._views.get(path)
        if view is None:
            if not path and self._pages:
                # The page's files are beside it: below a prefix that takes the slash.
                where = environ.get("SCRIPT_NAME", "") + "/"
                return Answer(301, TEXT, b"", (("Location", where),))
            named = [name for name in self._views if "." not in name]
            return problem(404, f"There is {', '.join(named)}.")
        if environ["REQUEST_METHOD"] not in _METHODS:
            return problem(405, "Only GET and HEAD.", ("Allow", ", ".join(_METHODS)))
        return view(environ)

    def _metrics(self, environ: Environ) -> Answer:
        if self._render is None:
            return problem(501, "Metrics need prometheus_client: install wsgi-guard[prometheus].")
        body, content_type = self._render(self._source, environ.get("HTTP_ACCEPT", ""))
        if _takes_gzip(environ.get("HTTP_ACCEPT_ENCODING", "")):
            # The fastest level: it makes a twentieth of it, and more takes the arbiter's time.
            return Answer(200, content_type, gzip.compress(body, 1), _GZIPPED)
        return Answer(200, content_type, body)

    def _livez(self, _environ: Environ) -> Answer:
        return json_answer(200, {"status": "ok"})

    def _readyz(self, _environ: Environ) -> Answer:
        if self._workers is None:
            ready = _ready_total(self._source)
            return json_answer(
                200 if ready else 503, {"ready": bool(ready), "workers_ready": ready}
            )
        workers = list(self._workers())
        ready = sum(worker.ready for worker in workers)
        document = {
            "ready": bool(ready),
            "workers_ready": ready,
            "workers": [worker._asdict() for worker in workers],
        }
        return json_answer(200 if ready else 503, document)


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
