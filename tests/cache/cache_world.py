"""A guarded application whose answers are kept, with its parts at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from werkzeug.test import EnvironBuilder, run_wsgi_app

from guard import metrics
from guard.cache import HotReads, Keeping
from guard.cache.keeping import Times
from guard.cache.memory_store import MemoryStore
from guard.controller import Controller
from guard.core.admission import Limits
from guard.core.vocabulary import Lane, Mode, Policy
from guard.database import Database
from guard.middleware import Guard
from guard.relief import Relief
from guard.rules import Rules
from guard.testing import FakeClock, MemoryBackend, MemoryRecorder

if TYPE_CHECKING:
    from collections.abc import Callable

TTL_S, STALE_S = 1.0, 10.0
LIMITS = Limits(Policy.PREDICTIVE, permits_max=8, waiters_max=8, wait_budget_s=5.0)


class App:
    """Asks the database once per request, and tells how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.status = "200 OK"
        self.headers: list[tuple[str, str]] = []
        self.body: Any = None
        self.before: Callable[[], object] = int
        self.database: Database | None = None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        self.asked += 1
        number = self.asked
        if self.database is not None:
            self.database.read(lambda session: session.execute("SELECT 1"))
        self.before()
        environ["guard.route"] = "/rule"
        start_response(self.status, [("Content-Type", "text/plain"), *self.headers])
        return [b"%d" % number] if self.body is None else self.body


class World:
    """The application in ``HotReads`` in ``Guard``; ``slots`` is what the controller believes."""

    def __init__(self, *, mode: Mode = Mode.ENFORCE, wait_s: float = 30.0) -> None:
        self.slots = 2
        self.clock = FakeClock()
        self.recorder = MemoryRecorder()
        self.app = App()
        self.controller = Controller(
            Rules(lanes=dict.fromkeys(Lane, LIMITS), mode=mode),
            {lane: lambda: self.slots for lane in Lane},
            clock=self.clock,
            draw=lambda: 0.0,
        )
        self.database = Database(MemoryBackend(2, clock=self.clock), self.controller, "duckdb")
        store = MemoryStore(100, TTL_S + STALE_S, self.clock.now_s)
        self.keeping = Keeping(store, _key, Times(TTL_S, STALE_S, wait_s), self.recorder)
        self.hot = HotReads(self.app, self.keeping, self.database.take_place)
        relief = Relief(spare=self.keeping.spare, headers=self.keeping.headers)
        self.guard = Guard(
            self.hot, self.controller, recorder=self.recorder, hold="connection", relief=relief
        )

    def send(self, path: str = "/hot", method: str = "GET", **headers: str) -> Any:
        """Return body, status and headers."""
        built = EnvironBuilder(path=path, method=method, headers=headers).get_environ()
        chunks, status, found = run_wsgi_app(self.guard, built, buffered=True)
        return b"".join(chunks).decode(), status, found

    def counted(self, result: str) -> float:
        return self.recorder.value(metrics.CACHE_REQUESTS, (result,))

    def decided(self, decision: str, reason: str) -> float:
        return self.recorder.value(metrics.DECISIONS_TOTAL, (decision, reason, "read"))


def _key(environ: dict[str, Any]) -> str | None:
    path: str = environ["PATH_INFO"]
    return path if path.startswith("/hot") else None
