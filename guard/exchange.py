"""One request's way through the application and back, with its permit."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Protocol

from guard.body import body_taken
from guard.correlation import handing_back
from guard.errors import GuardError
from guard.problem import Response, status_line
from guard.request import RequestScope
from guard.socket_age import hung_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from guard.core.vocabulary import Lane
    from guard.correlation import Correlation
    from guard.routing import Environ


class Finisher(Protocol):
    """What an exchange needs of the guard."""

    def problem(self, error: GuardError) -> Response:
        """Return the response for an error that the application let through."""
        ...

    def finish(self, exchange: Exchange) -> None:
        """Release the request's permits and count it."""
        ...


class Exchange(RequestScope):
    """A request under way, and the body that the server iterates and closes.

    Args:
        guard: finishes it, exactly once.
        environ: the request.
        start_response: the server's.
        lane: see ``RequestScope``.
        arrived_s: see there.
        deadline_at_s: see there.
        started_s: when it came to the guard.
    """

    status = "500"
    started = False
    finished = False
    _body: Iterable[bytes] = ()
    _iterator: Iterator[bytes] | None = None
    _untouched = True

    def __init__(  # noqa: PLR0913, PLR0917 - made once per request, so every call in it counts
        self,
        guard: Finisher,
        environ: Environ,
        start_response: Callable[..., Any],
        lane: Lane | None,
        arrived_s: float,
        deadline_at_s: float,
        started_s: float,
    ) -> None:
        self.lane = lane
        self.arrived_s = arrived_s
        self.deadline_at_s = deadline_at_s
        self.permits = {}
        self._guard = guard
        self.environ = environ
        self._start_response = start_response
        self.started_s = started_s

    def client_gone(self) -> bool:
        """Return whether the client has hung up; see ``guard.socket_age.hung_up``."""
        return hung_up(self.environ)

    def name(self, correlation: Correlation) -> None:
        """Remember the names by which others know the request; the response will tell its id."""
        self.correlation = correlation
        self._start_response = handing_back(self._start_response, correlation)

    def run(self, app: Callable[..., Iterable[bytes]]) -> Iterable[bytes]:
        """Call the application; return the body for the server."""
        try:
            self._body = body = app(self.environ, self._start)
        except GuardError as error:
            return self.refuse(self._guard.problem(error), replace=True)
        except BaseException:
            self._finish()
            raise
        if type(body) in _WHOLE:
            return self
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
        if not body_taken(self.environ):
            close_connection(self._start_response)
        try:
            line, headers = status_line(response.status), list(response.headers)
            if replace and self.started:
                self._start_response(line, headers, sys.exc_info())
            else:
                self._start_response(line, headers)
            self.status = line
        finally:
            self._finish()
        return () if self.environ["REQUEST_METHOD"] == "HEAD" else (response.body,)

    def __iter__(self) -> Iterator[bytes]:
        """Return what gives the chunks."""
        body = self._body
        # A body that is there already asks no database, so nothing is to be watched.
        return iter(body) if type(body) in _WHOLE else self

    def __next__(self) -> bytes:
        """Return the next chunk."""
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


_WHOLE = frozenset({list, tuple})


def close_connection(start_response: Callable[..., Any]) -> None:
    """Have the server close the connection after this response, where it can be told to."""
    # An unread body would hold a thread until the client has sent it. gunicorn drops an
    # application's Connection header and closes when its response object is told to;
    # elsewhere the header is the server's own to set (PEP 3333 forbids hop-by-hop headers).
    force_close = getattr(getattr(start_response, "__self__", None), "force_close", None)
    if force_close is not None:
        force_close()
