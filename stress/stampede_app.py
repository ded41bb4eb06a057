"""The service that is overrun: one slow read, with a policy for Retry-After; gunicorn runs it."""

from __future__ import annotations

import os
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from guard.assembly import assemble
from guard.gunicorn import current_worker
from stress.stampede_plan import CONSTANT, REMAINING
from stress.stampede_told import Told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from guard.middleware import Guard

POLICY: Final = "STAMPEDE_POLICY"
"""The environment variable with one of ``stress.stampede_plan.POLICIES``."""
CONSTANT_S: Final = "STAMPEDE_CONSTANT"
"""The one with the constant policy's seconds."""
BACK_FILE: Final = "STAMPEDE_BACK_FILE"
"""The one with the file that tells when the database is back, on the monotonic clock."""
HOLD_S: Final = 0.04

_HEADERS = [("Content-Type", "text/plain"), ("Content-Length", "3")]


def create_app() -> Guard:
    """Return the guarded application of a gunicorn worker.

    Raises:
        RuntimeError: this is no gunicorn worker.
    """
    worker = current_worker()
    if worker is None:
        raise RuntimeError("gunicorn runs this application")
    assembly = assemble(worker.settings, recorder=worker.recorder)
    policy = os.environ[POLICY]
    if policy == CONSTANT:
        constant_s = int(os.environ[CONSTANT_S])
        assembly.controller.book = Told(lambda: constant_s)
    elif policy == REMAINING:
        back = Path(os.environ[BACK_FILE])
        assembly.controller.book = Told(lambda: float(back.read_text()) - monotonic())

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/readyz":
            ready = assembly.ready
            start_response("200 OK" if ready else "503 Service Unavailable", list(_HEADERS))
            return [b"ok\n"]
        query = f"SELECT pg_sleep({HOLD_S})"
        assembly.database.read(lambda session: session.execute(query))
        start_response("200 OK", list(_HEADERS))
        return [b"ok\n"]

    guard = assembly.wrap(app)
    worker.gate = guard
    worker.on_drain(assembly.drain)
    worker.on_exit(assembly.close)
    return guard
