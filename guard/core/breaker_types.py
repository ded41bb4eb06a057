"""The values that the breaker's rules take and give; ``guard.core.breaker`` has the rules."""

from __future__ import annotations

from typing import Literal, NamedTuple

from guard.core.vocabulary import BreakerPhase

BreakerMode = Literal["auto", "open", "closed", "metrics"]


class BreakerRules(NamedTuple):
    """What the operator sets.

    Attributes:
        mode: auto, open, closed or metrics; see the module.
        failure_ratio: share of failures that opens, in (0, 1].
        min_calls: outcomes that the window must hold before a ratio counts, >= 1.
        window_s: length of the window, seconds, > 0.
        slow_s: a connection held longer is slow, seconds; 0 looks at no durations.
        slow_ratio: share of slow ones that opens, in (0, 1].
        open_s: the first pause before a probe, seconds, > 0.
        open_max_s: the longest pause, seconds, >= ``open_s``.
        ramp_s: time from a good probe to closed, seconds; 0 closes at once.
        probe_limit_s: a probe that has not reported after this time is given up, seconds;
            longer than any probe's own time-out.
    """

    mode: BreakerMode = "auto"
    failure_ratio: float = 0.5
    min_calls: int = 5
    window_s: float = 10.0
    slow_s: float = 0.0
    slow_ratio: float = 0.8
    open_s: float = 0.5
    open_max_s: float = 1.5
    ramp_s: float = 1.0
    probe_limit_s: float = 65.0


class Tally(NamedTuple):
    """What the window holds of the present generation.

    Attributes:
        ok: uses that the database answered.
        failures: uses that failed.
        quick: connections held for ``slow_s`` at most; 0 where durations are not looked at.
        slow: connections held longer.
    """

    ok: int = 0
    failures: int = 0
    quick: int = 0
    slow: int = 0


class BreakerState(NamedTuple):
    """Everything that a breaker remembers but the counts.

    Times are seconds on the caller's monotonic clock. The last three fields are carried along
    for pybreaker; nothing is decided by them.

    Attributes:
        phase: closed, open, half-open or recovering.
        generation: number of the phase's life, growing by one with each change.
        since_s: when the phase began.
        until_s: while open, when the probe is due; while half-open, when it is given up.
        failed_probes: probes and ramps that failed in this outage.
        outage: the generation in which this outage began; 0 while closed.
        taken_over: whether another host's word opened it.
        opened_at_s: when it last opened, wall clock, seconds since 1970; 0 before it ever did.
        fail_counter: consecutive failures as pybreaker counts them.
        success_counter: successes in half-open as pybreaker counts them.
    """

    phase: BreakerPhase = BreakerPhase.CLOSED
    generation: int = 1
    since_s: float = 0.0
    until_s: float = 0.0
    failed_probes: int = 0
    outage: int = 0
    taken_over: bool = False
    opened_at_s: float = 0.0
    fail_counter: int = 0
    success_counter: int = 0
