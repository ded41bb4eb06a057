"""What a run came to: its samples, and the summary of them. Pure."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stress.arrivals import KINDS, WITHOUT_DATABASE
from stress.shots import OWN_LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

GOOD_WITHIN_S = 1.0
"""A right answer later than this after its due time is of no use to anybody, seconds."""
LAG_MAX_S = 0.1
"""A run whose 99th percentile of start lag is larger measures the generator, not the service."""

_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class Sample:
    """What became of one request.

    Attributes:
        kind: one of ``stress.arrivals.KINDS``.
        due_s: when it was to be sent, seconds from the run's beginning.
        lag_s: how much later it was, seconds.
        latency_s: from the due time to the end of its answer, or of waiting for it, seconds.
        expected: the right status.
        status: the answer's status; 0 where there was none.
        right: the answer was right, body and all.
        reason: why the guard refused it; empty where it did not.
        failure: why there was no answer; empty where there was one.
        acknowledged: the warrior as a 201 describes it; None for all other answers.
        submitted: the warrior as it was sent, with that.
        source: the address that its client has for itself; empty for all others.
        attempt: 1, or more where its client sent it again.
    """

    kind: str
    due_s: float
    lag_s: float
    latency_s: float
    expected: int
    status: int = 0
    right: bool = False
    reason: str = ""
    failure: str = ""
    acknowledged: Mapping[str, Any] | None = field(default=None, repr=False)
    submitted: Mapping[str, Any] | None = field(default=None, repr=False)
    source: str = ""
    attempt: int = 1

    @property
    def answered(self) -> bool:
        """Whether there was an answer that is no refusal."""
        return not self.failure and not self.reason

    @property
    def good(self) -> bool:
        """Whether the answer was right and in time."""
        return self.right and self.latency_s <= GOOD_WITHIN_S


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that a generator hands back.

    Attributes:
        samples: one per request sent, in the order in which they ended.
        sent: requests that were sent, counted when they were.
        scheduled: virtual users that were to arrive.
        seconds: the schedule's length, seconds, > 0.
        interrupted: the run was ended before the schedule was.
        cpu_s: processor time that the generator used, seconds.
        took_s: from the beginning to the last outcome, seconds.
        begun_s: when it began, by ``perf_counter``.
        marks: moments to show in its plots, seconds from its beginning, and their names.
        from_s: when its schedule began; more than 0 for a part of a run.
    """

    samples: Sequence[Sample]
    sent: int
    scheduled: int
    seconds: float
    interrupted: bool = False
    cpu_s: float = 0.0
    took_s: float = 0.0
    begun_s: float = 0.0
    marks: Sequence[tuple[float, str]] = ()
    from_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Latencies of some requests, milliseconds; NaN where there are none.

    Attributes:
        count: how many.
        p50: half took at most this.
        p95: 95 % took at most this.
        p99: 99 % took at most this.
        max: the longest.
    """

    count: int
    p50: float
    p95: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class KindSummary:
    """What became of the requests of one kind, or of all.

    Attributes:
        sent: how many there were; ``answered + shed + failed``.
        answered: those with an answer other than a refusal.
        shed: those that the guard refused.
        failed: those without an answer.
        right: right answers, body and all.
        wrong_status: answers (refusals too) by status, where another was expected.
        statuses: answers by status.
        reasons: refusals by reason.
        failures: requests without an answer by cause.
        latency: of the answered.
        refusal: of the refused.
    """

    sent: int
    answered: int
    shed: int
    failed: int
    right: int
    wrong_status: Mapping[int, int]
    statuses: Mapping[int, int]
    reasons: Mapping[str, int]
    failures: Mapping[str, int]
    latency: Percentiles
    refusal: Percentiles


@dataclass(frozen=True, slots=True)
class Summary:
    """A whole run.

    Attributes:
        total: all requests together.
        kinds: each kind that occurred.
        offered_per_s: requests per second that need the database.
        goodput_per_s: of those, right answers within ``GOOD_WITHIN_S`` of the due time, over
            the time until the last of them where that is later than the schedule's end.
        good_share: those answers' share of the requests that need the database, 0 to 1.
        lag_p99_ms: the generator's own lateness, milliseconds.
        void: why the run says nothing; empty where it is good.
        interrupted: the run was ended early.
        seconds: the schedule's length.
        generator_cores: how much of a core the generator took for itself.
    """

    total: KindSummary
    kinds: Mapping[str, KindSummary]
    offered_per_s: float
    goodput_per_s: float
    good_share: float
    lag_p99_ms: float
    void: str
    interrupted: bool
    seconds: float
    generator_cores: float = 0.0


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that ``share`` (0 to 1) of ascending values do not exceed.

    NaN where there are no values.
    """
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def percentiles(latencies_s: Sequence[float]) -> Percentiles:
    """Return the percentiles of latencies in seconds, in milliseconds."""
    ordered = sorted(latency * 1e3 for latency in latencies_s)
    shares = (0.5, 0.95, 0.99, 1.0)
    return Percentiles(len(ordered), *(percentile(ordered, share) for share in shares))


def summarise(run: Run) -> Summary:
    """Return the summary of a run."""
    samples = run.samples
    database = [sample for sample in samples if sample.kind not in WITHOUT_DATABASE]
    good_ends = [one.due_s + one.latency_s - run.from_s for one in database if one.good]
    lags = sorted(sample.lag_s for sample in samples)
    lag = percentile(lags, 0.99)
    kinds = {
        kind: summarise_kind([sample for sample in samples if sample.kind == kind])
        for kind in KINDS
        if any(sample.kind == kind for sample in samples)
    }
    return Summary(
        total=summarise_kind(samples),
        kinds=kinds,
        offered_per_s=len(database) / run.seconds,
        goodput_per_s=len(good_ends) / max(run.seconds, *good_ends, 0.0),
        good_share=len(good_ends) / max(1, len(database)),
        lag_p99_ms=lag * 1e3,
        void=_why_void(run, lag),
        interrupted=run.interrupted,
        seconds=run.seconds,
        generator_cores=run.cpu_s / max(run.seconds, run.took_s),
    )


def _why_void(run: Run, lag_p99_s: float) -> str:
    if run.sent != len(run.samples):
        return f"{run.sent} requests were sent, {len(run.samples)} ended"
    if not run.samples:
        return "nothing was sent"
    if lag_p99_s > LAG_MAX_S:
        return f"the generator was late: p99 {lag_p99_s * 1e3:.0f} ms"
    own = sorted({one.failure for one in run.samples} & OWN_LIMITS)
    if own:
        return f"the generator ran into its own limits: {', '.join(own)}"
    return ""


def summarise_kind(samples: Sequence[Sample]) -> KindSummary:
    """Return what became of some requests."""
    answered = [sample.latency_s for sample in samples if sample.answered]
    shed = [sample.latency_s for sample in samples if sample.reason]
    return KindSummary(
        sent=len(samples),
        answered=len(answered),
        shed=len(shed),
        failed=sum(bool(sample.failure) for sample in samples),
        right=sum(sample.right for sample in samples),
        wrong_status=_counts(samples, lambda one: one.status if one.status != one.expected else 0),
        statuses=_counts(samples, lambda one: one.status),
        reasons=_counts(samples, lambda one: one.reason),
        failures=_counts(samples, lambda one: one.failure),
        latency=percentiles(answered),
        refusal=percentiles(shed),
    )


def _counts(samples: Sequence[Sample], key: Callable[[Sample], Any]) -> dict[Any, int]:
    return dict(sorted(Counter(found for sample in samples if (found := key(sample))).items()))


def server_errors(summary: KindSummary) -> int:
    """Return the number of answers with a status of 500 or more, refusals among them."""
    return sum(count for status, count in summary.statuses.items() if status >= _SERVER_ERROR)
