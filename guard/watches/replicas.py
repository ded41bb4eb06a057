"""Publishes what is known of the replicas that a backend reads from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from guard import metrics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.core.replicas import Replica
    from guard.events import Recorder


class Watched(Protocol):
    """Knows the replicas; ``guard.backends.postgres`` has one."""

    @property
    def known(self) -> Mapping[str, Replica]:
        """What is known of each at this moment."""
        ...

    @property
    def reads(self) -> Mapping[str, int]:
        """How many reads had to see a write, by one of ``metrics.MARKED_READS``."""
        ...


class ReplicaWatch:
    """Sets the replicas' gauges, and counts the reads that had to see a write.

    Args:
        fleet: knows the replicas.
        recorder: takes the measurements.
    """

    def __init__(self, fleet: Watched, recorder: Recorder) -> None:
        self._fleet = fleet
        self._record = recorder
        self._counted: Mapping[str, int] = {}

    def __call__(self, _now_s: float) -> None:
        """Look once."""
        for name, replica in self._fleet.known.items():
            self._record.set(metrics.REPLICA_LAG, (name,), replica.lag_s)
            self._record.set(metrics.REPLICA_WORKERS, (name,), float(replica.in_rotation))
        before, self._counted = self._counted, self._fleet.reads
        for outcome, count in self._counted.items():
            grown = count - before.get(outcome, 0)
            self._record.add(metrics.MARKED_READS_TOTAL, (outcome,), grown)
