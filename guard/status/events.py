"""What happened: workers that came and went, breakers that changed, reloads."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from guard import metrics
from guard.core.vocabulary import Lane

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guard.board import WorkerView
    from guard.status.frames import Span

KEPT: Final = 100


class Event(NamedTuple):
    """One event.

    Attributes:
        at_s: when it was seen, monotonic; up to a second after it happened.
        kind: ``worker``, ``breaker`` or ``reload``.
        text: what happened.
    """

    at_s: float
    kind: str
    text: str


class Events:
    """The last events. One thread notes; ``reloaded`` and ``latest`` may come from others."""

    def __init__(self) -> None:
        self._found: deque[Event] = deque(maxlen=KEPT)
        self._workers: dict[int, bool] = {}

    def look(self, span: Span, workers: Sequence[WorkerView]) -> None:
        """Note what changed from the last frame to this one."""
        at_s = span.last.at_s
        now = {worker.pid: worker.ready for worker in workers}
        self._found.extend(Event(at_s, *told) for told in _breakers(span))
        self._found.extend(Event(at_s, "worker", text) for text in changes(self._workers, now))
        self._workers = now

    def reloaded(self, at_s: float) -> None:
        """Note that the settings were read anew."""
        self._found.append(Event(at_s, "reload", "the settings were read again; workers follow"))

    def latest(self) -> list[Event]:
        """Return the events, the newest first."""
        # A copy in one step of the interpreter: another thread may append meanwhile.
        return list(self._found)[::-1]


def changes(before: dict[int, bool], now: dict[int, bool]) -> Iterator[str]:
    """Yield what changed between two sets of workers, each with whether it is ready."""
    for pid in sorted(before.keys() - now.keys()):
        yield f"worker {pid} has ended"
    for pid in sorted(now):
        if pid not in before:
            yield f"worker {pid} has started" + (" and is ready" if now[pid] else "")
        elif now[pid] != before[pid]:
            yield f"worker {pid} is {'ready' if now[pid] else 'not ready'}"


def _breakers(span: Span) -> Iterator[tuple[str, str]]:
    for lane in Lane:
        for before in metrics.PHASES:
            for after in metrics.PHASES:
                count = span.added(metrics.BREAKER_TRANSITIONS, lane.value, before, after)
                if count:
                    times = f" ({count:.0f} times)" if count > 1 else ""
                    yield "breaker", f"{lane.value} breaker is {after}, was {before}{times}"
