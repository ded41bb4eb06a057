"""Help for tests, ours and those of services that use the guard."""

from __future__ import annotations

from guard.testing.backend import MemoryBackend
from guard.testing.clock import FakeClock
from guard.testing.recorder import MemoryRecorder

__all__ = ["FakeClock", "MemoryBackend", "MemoryRecorder"]
