"""When a lane's database counts as failing, and how it is tried again.

Rules. Outcomes of the last ``window_s`` are counted in ten buckets; the bucket under way counts
as whole, so the window reaches back 0.9 to 1 ``window_s``. ``NEUTRAL`` counts in nothing. A
failure opens the breaker once the window holds ``min_calls`` outcomes and failures are
``failure_ratio`` of them; an OK never does, whatever the ratio, for the newest news is good.
While it is open nothing is sent to the database but one probe at a time, which no user's
request is sacrificed for. Every change of phase begins a new generation, and an outcome or a
probe's result of another generation changes nothing: what was begun before the outage can't end
it. The pause before a probe doubles with each failed one:

    base = min(open_max_s, open_s * 2 ** failed_probes)
    pause = base * (1 - draw / 2)            draw in [0, 1), so base/2 < pause <= base

============  ==============================================  ============  ====================
phase         event                                           next phase    with it
============  ==============================================  ============  ====================
closed        record OK                                       closed        counted
closed        record FAILURE, limits not reached              closed        counted
closed        record FAILURE, limits reached                  open          pause, 0 failed probes
closed        record NEUTRAL                                  closed        nothing
open          begin_probe, pause over                         half-open     the one probe
open          begin_probe, pause not over                     open          nothing
half-open     end_probe, ok                                   closed        fresh window
half-open     end_probe, failed                               open          pause, +1 failed probe
half-open     expire_probe, ``probe_limit_s`` over            open          pause, +1 failed probe
any           event of another generation                     the same      nothing
any           any other event                                 the same      nothing
============  ==============================================  ============  ====================

Modes: ``auto`` follows the table. ``open`` refuses and ``closed`` admits whatever happens, and
both count nothing. ``metrics`` counts, never opens, and admits.

"Nothing" means that the very same state object is returned.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from guard.core.vocabulary import BreakerPhase, Outcome

BUCKETS = 10
"""Parts of the window; one of them is forgotten at a time."""
_DOUBLINGS_MAX = 60  # far past every cap, and far from a float's overflow


class BreakerRules(NamedTuple):
    """What the operator sets.

    Attributes:
        mode: auto, open, closed or metrics; see the module.
        failure_ratio: share of failures that opens, in (0, 1].
        min_calls: outcomes that the window must hold before the ratio counts, >= 1.
        window_s: length of the window, seconds, > 0.
        open_s: the first pause before a probe, seconds, > 0.
        open_max_s: the longest pause, seconds, >= ``open_s``.
        probe_limit_s: a probe that has not reported after this time is given up, seconds;
            longer than any probe's own time-out.
    """

    mode: Literal["auto", "open", "closed", "metrics"] = "auto"
    failure_ratio: float = 0.5
    min_calls: int = 5
    window_s: float = 10.0
    open_s: float = 1.0
    open_max_s: float = 10.0
    probe_limit_s: float = 65.0


class Bucket(NamedTuple):
    """The outcomes of one tenth of the window.

    Attributes:
        number: which tenth, counted from the clock's zero.
        ok: outcomes that were OK.
        failures: outcomes that were FAILURE.
    """

    number: int
    ok: int
    failures: int


class BreakerState(NamedTuple):
    """Everything that a breaker remembers. Times on the caller's monotonic clock, seconds.

    Attributes:
        phase: closed, open or half-open.
        generation: number of the phase's life, growing by one with each change.
        window: at most ten buckets, the oldest first.
        open_until_s: while open, when the probe is due.
        failed_probes: probes that failed in this outage.
        probe_until_s: while half-open, when the probe is given up.
    """

    phase: BreakerPhase = BreakerPhase.CLOSED
    generation: int = 0
    window: tuple[Bucket, ...] = ()
    open_until_s: float = 0.0
    failed_probes: int = 0
    probe_until_s: float = 0.0


def initial(rules: BreakerRules) -> BreakerState:
    """Return the state in which a breaker starts."""
    forced = rules.mode == "open"
    return BreakerState(BreakerPhase.OPEN if forced else BreakerPhase.CLOSED)


def admits(state: BreakerState, rules: BreakerRules) -> bool:
    """Return whether requests may use the database."""
    if rules.mode == "auto":
        return state.phase is BreakerPhase.CLOSED
    return rules.mode != "open"


def remaining_s(state: BreakerState, now_s: float) -> float:
    """Return seconds until the next probe is due; 0 while closed, half-open or forced open."""
    if state.phase is not BreakerPhase.OPEN:
        return 0.0
    return max(0.0, state.open_until_s - now_s)


def counted(state: BreakerState, rules: BreakerRules, now_s: float) -> tuple[int, int]:
    """Return the OK and the FAILURE outcomes that the window holds now."""
    first = _number(state, rules, now_s) - BUCKETS + 1
    live = [bucket for bucket in state.window if bucket.number >= first]
    return sum(bucket.ok for bucket in live), sum(bucket.failures for bucket in live)


def record(
    state: BreakerState,
    rules: BreakerRules,
    outcome: Outcome,
    generation: int,
    now_s: float,
    draw: float,
) -> BreakerState:
    """Return the state after one use of the database that began in ``generation``.

    Args:
        state: the state so far.
        rules: the operator's settings.
        outcome: how the use ended.
        generation: the breaker's generation when the use began.
        now_s: the time.
        draw: a uniform random number in ``[0, 1)``.
    """
    if outcome is Outcome.NEUTRAL or rules.mode in {"open", "closed"}:
        return state
    if state.phase is not BreakerPhase.CLOSED or generation != state.generation:
        return state
    failed = outcome is Outcome.FAILURE
    state = _count(state, rules, now_s, failed=failed)
    if not failed or rules.mode != "auto":
        return state
    ok, failures = counted(state, rules, now_s)
    enough = ok + failures >= rules.min_calls
    if enough and failures >= rules.failure_ratio * (ok + failures):
        return _opened(state, rules, 0, now_s, draw)
    return state


def probe_due(state: BreakerState, rules: BreakerRules, now_s: float) -> bool:
    """Return whether a probe shall begin now."""
    return rules.mode == "auto" and state.phase is BreakerPhase.OPEN and now_s >= state.open_until_s


def begin_probe(state: BreakerState, rules: BreakerRules, now_s: float) -> BreakerState:
    """Return the half-open state whose generation the probe reports with, where one is due."""
    if not probe_due(state, rules, now_s):
        return state
    return state._replace(
        phase=BreakerPhase.HALF_OPEN,
        generation=state.generation + 1,
        probe_until_s=now_s + rules.probe_limit_s,
    )


def end_probe(
    state: BreakerState,
    rules: BreakerRules,
    *,
    ok: bool,
    generation: int,
    now_s: float,
    draw: float,
) -> BreakerState:
    """Return the state after the probe of ``generation`` has reported.

    Args:
        state: the state so far.
        rules: the operator's settings.
        ok: whether the database answered.
        generation: the generation that ``begin_probe`` gave.
        now_s: the time.
        draw: a uniform random number in ``[0, 1)``.
    """
    if state.phase is not BreakerPhase.HALF_OPEN or generation != state.generation:
        return state
    if ok:
        return BreakerState(generation=state.generation + 1)
    return _opened(state, rules, state.failed_probes + 1, now_s, draw)


def expire_probe(
    state: BreakerState, rules: BreakerRules, now_s: float, draw: float
) -> BreakerState:
    """Return the state after giving up a probe that has not reported in its time."""
    if state.phase is not BreakerPhase.HALF_OPEN or now_s < state.probe_until_s:
        return state
    return _opened(state, rules, state.failed_probes + 1, now_s, draw)


def _opened(
    state: BreakerState, rules: BreakerRules, failed_probes: int, now_s: float, draw: float
) -> BreakerState:
    base_s = min(rules.open_max_s, rules.open_s * 2.0 ** min(failed_probes, _DOUBLINGS_MAX))
    return BreakerState(
        phase=BreakerPhase.OPEN,
        generation=state.generation + 1,
        open_until_s=now_s + base_s * (1 - draw / 2),
        failed_probes=failed_probes,
    )


def _number(state: BreakerState, rules: BreakerRules, now_s: float) -> int:
    number = int(now_s * BUCKETS // rules.window_s)
    # Threads read the clock before they queue for the lock, so times come a little out of order.
    return max(number, state.window[-1].number) if state.window else number


def _count(state: BreakerState, rules: BreakerRules, now_s: float, *, failed: bool) -> BreakerState:
    number = _number(state, rules, now_s)
    *older, last = state.window or (Bucket(number, 0, 0),)
    if last.number != number:
        older, last = [*older, last], Bucket(number, 0, 0)
    last = Bucket(number, last.ok + (not failed), last.failures + failed)
    kept = [bucket for bucket in older if bucket.number > number - BUCKETS]
    return state._replace(window=(*kept, last))
