"""Gives kept answers again, lets one request compute for all, and drops what a write changes."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Final

from guard.cache.answer import Answer
from guard.cache.entry import Entry, Found, fresh_headers, stale_headers
from guard.errors import Shed
from guard.problem import status_line
from guard.request import CURRENT
from guard.tally import CACHED, ROUTE_KEY, UNMATCHED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from guard.cache.flights import Flight
    from guard.cache.keeping import Keeping
    from guard.routing import Environ

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_CHANGED: Final = ("2", "3")
_OK_LINE: Final = status_line(200)
_REFUSED: Final = "503"


def no_place() -> float:
    """Take nothing, since the request holds its permit already; nothing is known of its time."""
    return inf


class HotReads:
    """A WSGI application around another, inside of the guard. Thread-safe.

    Args:
        app: computes the answers.
        keeping: what is kept.
        take_place: called before a request waits for what another one computes. It takes the
            permit that bounds how many may wait, and raises ``Shed`` where there is none: who waits
            holds a thread, and the guard must keep enough of them to be able to say no. Tells the
            time until the request's deadline, seconds.
    """

    def __init__(
        self,
        app: Callable[[Environ, Callable[..., Any]], Iterable[bytes]],
        keeping: Keeping,
        take_place: Callable[[], float] = no_place,
    ) -> None:
        self._app = app
        self._keeping = keeping
        self._take_place = take_place

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer the request; see PEP 3333."""
        keeping = self._keeping
        key = keeping.key(environ)
        if key is None:
            if environ["REQUEST_METHOD"] not in _SAFE:
                start_response = self._forgetting(environ, start_response)
            return self._app(environ, start_response)
        found = keeping.store.get(key)
        if found is not None and found.age_s < keeping.times.fresh_s:
            return self._given("hit", found, environ, start_response)
        flight, leads = keeping.flights.join(key)
        try:
            answer = self._lead(key, flight, environ) if leads else self._follow(flight, environ)
        except Shed:
            if found is None:
                raise
            return self._relieved(found, environ, start_response)
        if isinstance(answer, Entry):
            return self._given("shared", Found(answer, 0.0), environ, start_response)
        if found is not None and answer.status.startswith(_REFUSED) and _was_shed():
            return self._relieved(found, environ, start_response)
        keeping.count("miss")
        return answer.give(start_response)

    def _lead(self, key: str, flight: Flight, environ: Environ) -> Answer:
        """Compute the answer for all who wait for it."""
        keeping, entry = self._keeping, None
        # Whatever happens the flight lands: one that does not has all who come later wait.
        try:
            lease = keeping.store.lease(key)
            try:
                answer = self._ask(environ)
                entry = answer.entry(environ.get(ROUTE_KEY, UNMATCHED))
            finally:
                keeping.store.put(key, entry, lease)
        finally:
            keeping.flights.land(key, flight, entry)
        return answer

    def _follow(self, flight: Flight, environ: Environ) -> Entry | Answer:
        """Wait for what another request computes; where that can't be shared, compute."""
        left_s = self._take_place()
        entry = flight.wait(min(self._keeping.times.wait_s, left_s))
        return self._ask(environ) if entry is None else entry

    def _ask(self, environ: Environ) -> Answer:
        answer = Answer()
        answer.take(self._app(environ, answer.start))
        return answer

    def _forgetting(
        self, environ: Environ, start_response: Callable[..., Any]
    ) -> Callable[..., Any]:
        # Dropped before the client hears of its write: what it asks next is computed anew.
        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:  # noqa: ANN401
            if status.startswith(_CHANGED):
                self._keeping.forget_changed(environ, headers)
            return start_response(status, headers, *exc_info)

        return start

    def _given(
        self, result: str, found: Found, environ: Environ, start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        self._keeping.count(result)
        environ[ROUTE_KEY] = found.entry.route
        headers = stale_headers if result == "stale" else fresh_headers
        start_response(_OK_LINE, list(headers(found)))
        return [found.entry.body]

    def _relieved(
        self, found: Found, environ: Environ, start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        scope = CURRENT.get()
        if scope is not None:
            scope.relieved = CACHED
        return self._given("stale", found, environ, start_response)


def _was_shed() -> bool:
    scope = CURRENT.get()
    return scope is not None and scope.reason.sheds and scope.retry_after_s > 0
