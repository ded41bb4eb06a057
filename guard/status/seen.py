"""What the status document is made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guard.board import Refusal, WorkerView
    from guard.settings.load import Loaded
    from guard.status.events import Event
    from guard.status.frames import Frame
    from guard.status.points import Point

RECENT_S: Final = 10.0
"""What "now" looks back on."""
WINDOW_S: Final = 900.0
"""What is kept."""
SILENT_S: Final = 2.0
"""A worker beats five times a second; this is ten beats."""


class Seen(NamedTuple):
    """Everything that the document is made from.

    Attributes:
        boot: names this process's life.
        sequence: the number of the last frame.
        unix_s: wall time of the last frame.
        frames: ascending in time, at least one.
        points: one per frame.
        workers: the workers.
        since_s: when each worker was first seen, by pid.
        refusals: newest first.
        lock_waits: who waits for a lock, the longest first.
        events: newest first.
        loaded: the settings and their sources.
        version: Guard's.
    """

    boot: str
    sequence: int
    unix_s: float
    frames: Sequence[Frame]
    points: Sequence[Point]
    workers: Sequence[WorkerView]
    since_s: Mapping[int, float]
    refusals: Sequence[Refusal]
    lock_waits: Sequence[dict[str, Any]]
    events: Sequence[Event]
    loaded: Loaded
    version: str = ""

    @property
    def now(self) -> Frame:
        """The last frame."""
        return self.frames[-1]

    def unix(self, at_s: float) -> float:
        """Return the wall time of a monotonic one."""
        return round(self.unix_s + at_s - self.now.at_s, 3)

    def silent_s(self, worker: WorkerView) -> float:
        """Return for how long a worker has given no sign of life; 0 where it is no time at all."""
        age_s = self.now.at_s - worker.heartbeat_s
        return age_s if age_s > SILENT_S else 0.0
