"""A guarded application with pure Python in it, under a switch interval of the harness' choice."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

from guard.assembly import assemble
from guard.gunicorn import current_worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

INTERVAL: Final = "STRESS_SWITCH_INTERVAL_S"
"""The environment variable with the interval in seconds."""
CPU_PATH: Final = "/cpu"
SLOTS: Final = 4
"""Requests that the guard lets in at once."""

_STEPS: Final = 200_000
_BODY: Final = b"done"
_HEADERS: Final = [("Content-Type", "text/plain"), ("Content-Length", str(len(_BODY)))]


def app() -> Callable[..., Iterable[bytes]]:
    """Return the application behind the guard; needs a gunicorn worker.

    Raises:
        RuntimeError: this is no worker of gunicorn's.
    """
    worker = current_worker()
    if worker is None:
        raise RuntimeError("the application runs in a gunicorn worker")
    # After the hooks have set the guard's own.
    sys.setswitchinterval(float(os.environ[INTERVAL]))
    assembly = assemble(worker.settings, recorder=worker.recorder)
    guard = assembly.wrap(_app)
    worker.gate = guard
    worker.on_exit(assembly.close)
    return guard


def _app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ["PATH_INFO"] == CPU_PATH:
        total = 0
        for step in range(_STEPS):
            total += step
    start_response("200 OK", list(_HEADERS))
    return [_BODY]
