"""Waiting in tests: for what must happen, never for a while."""

from __future__ import annotations

import time
from threading import Event
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S = 60.0
"""Generous: a busy machine fails no test, and a hang still ends."""


def until(true: Callable[[], object]) -> None:
    """Wait until ``true`` says so; fails after ``PATIENCE_S``."""
    tick, end_s = Event(), time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end_s, "it never came true"
        tick.wait(0.005)
