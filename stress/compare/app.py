"""The service that is compared: a database with 8 connections whose queries take 20 ms."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING, Any, Final

from guard.assembly import Assembly
from guard.backends.base import Bounds
from guard.clock import MonotonicClock
from guard.gunicorn import current_worker
from guard.meter import PoolMeter
from guard.routing import lane_of_method
from guard.testing import MemoryBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from guard.backends.base import Row, Session

    Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
    Read = Callable[[Callable[[Session], object]], object]

SLOTS: Final = 8
HOLD_S: Final = 0.02
CAPACITY_PER_S: Final = SLOTS / HOLD_S
"""Requests per second that the database can answer."""
BODY: Final = b"found"

_HEADERS: Final = [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))]
_FOREVER_S: Final = 3600.0


def plain() -> Application:
    """Return the service as it is: whoever finds no connection waits for one."""
    backend = MemoryBackend(SLOTS, _query)
    bounds = Bounds(_FOREVER_S, _FOREVER_S)
    return _application(lambda unit: backend.read(unit, bounds))


def guarded() -> Application:
    """Return the service with the guard in front of the same pool; needs a gunicorn worker.

    Raises:
        RuntimeError: this is no worker of gunicorn's.
    """
    worker = current_worker()
    if worker is None:
        raise RuntimeError("the guarded service runs in a gunicorn worker")
    meter, clock = PoolMeter(worker.recorder), MonotonicClock()
    backend = MemoryBackend(SLOTS, _query, observer=meter, clock=clock, opened=False)
    assembly = Assembly(worker.settings, worker.recorder, backend, meter, clock, lane_of_method)
    assembly.start()
    guard = assembly.wrap(_application(assembly.database.read))
    worker.gate = guard
    worker.on_drain(assembly.drain)
    worker.on_exit(assembly.close)
    return guard


def _query(_sql: str, _params: Sequence[object]) -> list[Row]:
    Event().wait(HOLD_S)
    return []


def _unit(session: Session) -> object:
    return session.execute("SELECT 1")


def _application(read: Read) -> Application:
    def app(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        read(_unit)
        start_response("200 OK", list(_HEADERS))
        return [BODY]

    return app
