"""What the parts tell each other: small protocols, called with plain values, never under a lock."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from guard.core.vocabulary import Lane, Outcome
    from guard.metrics import Metric, Sample


Count = Callable[[float], None]
"""Counts one event, with the seconds that it took."""

Series = tuple["Metric", tuple[str, ...]]
"""A metric with its label values."""


class Decided(NamedTuple):
    """What was decided about a lane's requests since the host's start; these never go down.

    Attributes:
        arrived: requests, refused ones included.
        served: admitted ones, those of the shadow mode included.
        crowded_out: refused for want of room.
    """

    arrived: float
    served: float
    crowded_out: float


class Recorder(Protocol):
    """Takes measurements. Implementations are thread-safe, cheap (about 1 us) and never raise.

    ``labels`` are the label *values* in the order of ``metric.labels``.
    """

    def add(self, metric: Metric, labels: tuple[str, ...] = (), amount: float = 1.0) -> None:
        """Add ``amount`` (>= 0) to a counter."""
        ...

    def set(self, metric: Metric, labels: tuple[str, ...], value: float) -> None:
        """Set a gauge of this worker."""
        ...

    def observe(
        self, metric: Metric, labels: tuple[str, ...], value: float, times: int = 1
    ) -> None:
        """Count ``value`` (in the metric's unit) into a histogram, as if seen ``times`` times."""
        ...

    def bind(self, counters: Sequence[Series], histograms: Sequence[Series]) -> Count:
        """Return what adds 1 to all counters and its argument to all histograms, in one step.

        It may be kept and called for ever; it costs a fraction of the single calls.
        """
        ...


class MetricSource(Protocol):
    """Gives the current totals over all workers of the host."""

    def collect(self) -> Iterable[Sample]:
        """Return one sample per known label set; the declared ones are there from the start."""
        ...


class Exemplar(NamedTuple):
    """A request that stands for those in its bucket of ``guard_http_request_duration_seconds``.

    Attributes:
        labels: its label values.
        bucket: the bucket's number; the last one is +Inf's.
        value: its duration, seconds.
        trace_id: its trace.
        at_s: when it ended, seconds since 1970.
    """

    labels: tuple[str, ...]
    bucket: int
    value: float
    trace_id: str
    at_s: float


@runtime_checkable
class ExemplarSource(Protocol):
    """A ``MetricSource`` that can also give exemplars."""

    def exemplars(self) -> Iterable[Exemplar]:
        """Return at most one exemplar for each label set and bucket."""
        ...


class PoolObserver(Protocol):
    """Hears what happens to a lane's connections. Called by backends outside their locks."""

    def acquired(self, lane: Lane, waited_s: float, *, got: bool) -> None:
        """A wait for a connection ended, with a connection (``got``) or by time-out."""
        ...

    def released(self, lane: Lane, held_s: float, outcome: Outcome) -> None:
        """A connection was given back after ``held_s``. For a merged write: the batch's time."""
        ...

    def queried(self, lane: Lane, took_s: float, outcome: Outcome) -> None:
        """One statement (or one COMMIT of a batch) ended."""
        ...

    def failed(self, lane: Lane, kind: str) -> None:
        """An error; ``kind`` is one of ``guard.metrics.ERROR_KINDS``."""
        ...

    def disconnected(self, lane: Lane) -> None:
        """An attempt to connect failed, and the lane has had no connection for some time."""
        ...

    def batched(self, size: int) -> None:
        """The writer committed ``size`` units in one transaction (DuckDB)."""
        ...

    def lock_waited(self, lane: Lane, waited_s: float) -> None:
        """One unit waited ``waited_s`` for the single writer (DuckDB)."""
        ...

    def locks_sampled(self, lane: Lane, waiters: int, oldest_s: float, waited_s: float) -> None:
        """One sample of lock waits (PostgreSQL).

        ``waiters`` now, the age of the oldest, and the waiting time that passed since the
        last sample, summed over the waiters.
        """
        ...


class Unheard:
    """A ``PoolObserver`` that hears nothing: for work that is nobody's request, such as a copy."""

    def acquired(self, lane: Lane, waited_s: float, *, got: bool) -> None:
        """Do nothing."""

    def released(self, lane: Lane, held_s: float, outcome: Outcome) -> None:
        """Do nothing."""

    def queried(self, lane: Lane, took_s: float, outcome: Outcome) -> None:
        """Do nothing."""

    def failed(self, lane: Lane, kind: str) -> None:
        """Do nothing."""

    def disconnected(self, lane: Lane) -> None:
        """Do nothing."""

    def batched(self, size: int) -> None:
        """Do nothing."""

    def lock_waited(self, lane: Lane, waited_s: float) -> None:
        """Do nothing."""

    def locks_sampled(self, lane: Lane, waiters: int, oldest_s: float, waited_s: float) -> None:
        """Do nothing."""
