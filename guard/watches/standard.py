"""The watches that every worker has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.watches.locks import LockWatch
from guard.watches.pooler import PoolerWatch
from guard.watches.queues import QueueWatch
from guard.watches.replicas import ReplicaWatch
from guard.watches.states import StateWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guard.backends.base import Backend
    from guard.events import Recorder
    from guard.watches.queues import QueueLength


def standard(
    recorder: Recorder,
    backend: Backend | None,
    why_not_ready: Callable[[], str],
    queues: Mapping[str, Callable[[], QueueLength]],
    *,
    single_writer: bool,
) -> list[Callable[[float], None]]:
    """Return them; each argument is explained where it goes.

    Args:
        recorder: takes the gauges; a row of a board takes the notes too.
        backend: see ``StateWatch`` and ``LockWatch``.
        why_not_ready: see ``StateWatch``.
        queues: see ``QueueWatch``.
        single_writer: see ``LockWatch``.
    """
    found: list[Callable[[float], None]] = [
        QueueWatch(queues, recorder), StateWatch(why_not_ready, backend),
    ]  # fmt: skip
    if backend is not None:
        note = getattr(recorder, "note", None)
        found.append(LockWatch(backend, recorder, note, single_writer=single_writer))
    # Only some backends may have a pooler or replicas.
    pooler_queue, fleet = (getattr(backend, name, None) for name in ("pooler_queue", "fleet"))
    if pooler_queue is not None:
        found.append(PoolerWatch(pooler_queue, recorder))
    if fleet is not None:
        found.append(ReplicaWatch(fleet, recorder))
    return found
