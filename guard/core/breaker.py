"""When a lane's database counts as failing, and how it is tried and taken back into use.

Rules. Uses of the database that began in the present generation are counted over the last
``window_s`` (``guard.breaker.window`` keeps the counts). ``NEUTRAL`` counts in nothing. A failure
opens the breaker once the window holds ``min_calls`` outcomes and failures are ``failure_ratio``
of them, or the same is true of its newest fifth: when a busy database freezes, the few requests
that it holds fail late, and what it answered before would outweigh them for most of the window.
An OK never opens, whatever the ratio, for the newest news is good. Where ``slow_s`` is set, a
connection held longer opens it in the same way once slow ones are ``slow_ratio`` of all.
While it is open nothing is sent to the database but one probe at a time, which no user's
request is sacrificed for. After a good probe the requests come back in steps, a quarter of
``ramp_s`` each:

    share admitted = 10 %, 25 %, 50 %, 100 %

and any failure that is ``failure_ratio`` of the outcomes since the probe opens it again at once.
Every change of phase begins a new generation, and an outcome or a probe's result of another
generation changes nothing: what was begun before the outage can't end it. The pause before a
probe doubles with each failed one, and is not forgotten before the ramp has held:

    base = min(open_max_s, open_s * 2 ** failed_probes)
    pause = base * (1 - draw / 2)            draw in [0, 1), so base/2 < pause <= base

============  ==============================================  ============  ====================
phase         event                                           next phase    with it
============  ==============================================  ============  ====================
closed        judge, limits reached                           open          pause, 0 failed probes
closed        take_over: another host has opened              open          pause, 0 failed probes
closed        condemn: no connection, and a probe failed      open          pause, 0 failed probes
open          begin_probe, pause over                         half-open     the one probe
open          hasten: another host's probe was answered       open          no more pause
half-open     end_probe, ok                                   recovering    (closed without ramp)
half-open     end_probe, failed                               open          pause, +1 failed probe
half-open     expire_probe, ``probe_limit_s`` over            open          pause, +1 failed probe
half-open     begin_probe, the prober has died                half-open     another probe
recovering    judge, limits reached                           open          pause, +1 failed probe
recovering    condemn: as above                               open          pause, +1 failed probe
recovering    end_ramp, ``ramp_s`` over                       closed
any           move: somebody sets the phase by hand           that one
any           event of another generation                     the same      nothing
any           any other event                                 the same      nothing
============  ==============================================  ============  ====================

Modes: ``auto`` follows the table. ``open`` refuses and ``closed`` admits whatever happens, and
both count nothing. ``metrics`` counts, never opens, and admits.

"Nothing" means that the very same state object is returned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.core.vocabulary import BreakerPhase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.core.breaker_types import BreakerRules, BreakerState, Tally

RAMP: Final = (0.1, 0.25, 0.5, 1.0)
"""Share of the requests admitted in each step of the recovery."""
RECENT: Final = 0.2
"""The newest part of the window, which is judged by itself too."""
_DOUBLINGS_MAX = 60  # far past every cap, and far from a float's overflow
_COUNTING = frozenset({BreakerPhase.CLOSED, BreakerPhase.RECOVERING})


def shown_phase(state: BreakerState, rules: BreakerRules) -> BreakerPhase:
    """Return the phase as people see it: a forced mode shows what it forces."""
    if rules.mode == "auto":
        return state.phase
    return BreakerPhase.OPEN if rules.mode == "open" else BreakerPhase.CLOSED


def share(state: BreakerState, rules: BreakerRules, now_s: float) -> float:
    """Return which share of the requests may use the database, 0 to 1."""
    phase = shown_phase(state, rules)
    if phase is BreakerPhase.CLOSED:
        return 1.0
    if phase is not BreakerPhase.RECOVERING:
        return 0.0
    if rules.ramp_s <= 0:
        return 1.0
    step = int((now_s - state.since_s) * len(RAMP) / rules.ramp_s)
    return RAMP[min(max(step, 0), len(RAMP) - 1)]


def remaining_s(state: BreakerState, rules: BreakerRules, now_s: float) -> float:
    """Return seconds until the next probe is due; 0 in every phase but open, or where forced."""
    if state.phase is not BreakerPhase.OPEN or rules.mode != "auto":
        return 0.0
    return max(0.0, state.until_s - now_s)


def counts(state: BreakerState, rules: BreakerRules, generation: int) -> bool:
    """Return whether a use of the database that began in ``generation`` is counted."""
    return (
        generation == state.generation
        and state.phase in _COUNTING
        and rules.mode in {"auto", "metrics"}
    )


def counts_since(state: BreakerState, rules: BreakerRules, began_s: float) -> bool:
    """Return whether a use that began at that time is counted."""
    return began_s >= state.since_s and counts(state, rules, state.generation)


def tripped(state: BreakerState, rules: BreakerRules, tally: Tally) -> bool:
    """Return whether the counts reach a limit."""
    calls, uses = tally.ok + tally.failures, tally.quick + tally.slow
    needed = 1 if state.phase is BreakerPhase.RECOVERING else rules.min_calls
    if tally.failures and calls >= needed and tally.failures >= rules.failure_ratio * calls:
        return True
    slow = rules.slow_s > 0 and tally.slow > 0
    return slow and uses >= rules.min_calls and tally.slow >= rules.slow_ratio * uses


def judge(
    state: BreakerState,
    rules: BreakerRules,
    tallies: Sequence[Tally],
    generation: int,
    now_s: float,
    draw: float,
) -> BreakerState:
    """Return the state after a failure, or a slow use, that is counted in all ``tallies``.

    Args:
        state: the state so far.
        rules: the operator's settings.
        tallies: the counts of ``generation`` in the window and in its newest part.
        generation: the breaker's generation when the use began.
        now_s: the time.
        draw: a uniform random number in ``[0, 1)``.
    """
    if rules.mode != "auto" or not counts(state, rules, generation):
        return state
    if not any(tripped(state, rules, tally) for tally in tallies):
        return state
    return _opened(state, rules, now_s, draw)


def probe_due(state: BreakerState, rules: BreakerRules, now_s: float) -> bool:
    """Return whether a probe shall begin now."""
    return rules.mode == "auto" and state.phase is BreakerPhase.OPEN and now_s >= state.until_s


def begin_probe(
    state: BreakerState, rules: BreakerRules, now_s: float, *, orphaned: bool = False
) -> BreakerState:
    """Return the half-open state whose generation the probe reports with, where one is due.

    ``orphaned`` says that whoever ran the probe under way has died; then another one is due.
    """
    dead = orphaned and rules.mode == "auto" and state.phase is BreakerPhase.HALF_OPEN
    if not dead and not probe_due(state, rules, now_s):
        return state
    until_s = now_s + rules.probe_limit_s
    return _next(state, BreakerPhase.HALF_OPEN, now_s)._replace(until_s=until_s)


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
    if not ok:
        return _opened(state, rules, now_s, draw)
    if rules.ramp_s <= 0:
        return _closed(state, now_s)
    return _next(state, BreakerPhase.RECOVERING, now_s)


def expire_probe(
    state: BreakerState, rules: BreakerRules, now_s: float, draw: float
) -> BreakerState:
    """Return the state after giving up a probe that has not reported in its time."""
    if state.phase is not BreakerPhase.HALF_OPEN or now_s < state.until_s:
        return state
    return _opened(state, rules, now_s, draw)


def end_ramp(state: BreakerState, rules: BreakerRules, now_s: float) -> BreakerState:
    """Return the closed state where the ramp has held to its end."""
    if state.phase is not BreakerPhase.RECOVERING or now_s < state.since_s + rules.ramp_s:
        return state
    return _closed(state, now_s)


def take_over(state: BreakerState, rules: BreakerRules, now_s: float, draw: float) -> BreakerState:
    """Return the open state, where closed, because another host says that its own is open."""
    if state.phase is not BreakerPhase.CLOSED or rules.mode != "auto":
        return state
    return _opened(state, rules, now_s, draw)._replace(taken_over=True)


def condemn(
    state: BreakerState, rules: BreakerRules, generation: int, now_s: float, draw: float
) -> BreakerState:
    """Return the open state after a probe that failed while no connection was to be had.

    Args:
        state: the state so far.
        rules: the operator's settings.
        generation: the breaker's generation when the probe began.
        now_s: the time.
        draw: a uniform random number in ``[0, 1)``.
    """
    if rules.mode != "auto" or not counts(state, rules, generation):
        return state
    return _opened(state, rules, now_s, draw)


def hasten(state: BreakerState, rules: BreakerRules, now_s: float) -> BreakerState:
    """Return the state with its probe due now, because another host's probe was answered."""
    if rules.mode != "auto" or remaining_s(state, rules, now_s) == 0.0:
        return state
    return state._replace(until_s=now_s)


def move(
    state: BreakerState, rules: BreakerRules, phase: BreakerPhase, now_s: float, draw: float
) -> BreakerState:
    """Return the state after somebody has set the phase by hand; forced modes stay as they are."""
    if rules.mode != "auto" or phase is state.phase:
        return state
    if phase is BreakerPhase.OPEN:
        return _opened(state, rules, now_s, draw)
    if phase is BreakerPhase.CLOSED:
        return _closed(state, now_s)
    until_s = now_s + rules.probe_limit_s if phase is BreakerPhase.HALF_OPEN else 0.0
    return _next(state, phase, now_s)._replace(until_s=until_s)


def _next(state: BreakerState, phase: BreakerPhase, now_s: float) -> BreakerState:
    generation = state.generation + 1
    return state._replace(phase=phase, generation=generation, since_s=now_s, until_s=0.0)


def _closed(state: BreakerState, now_s: float) -> BreakerState:
    closed = _next(state, BreakerPhase.CLOSED, now_s)
    return closed._replace(failed_probes=0, outage=0, taken_over=False)


def _opened(state: BreakerState, rules: BreakerRules, now_s: float, draw: float) -> BreakerState:
    failed = 0 if state.phase is BreakerPhase.CLOSED else state.failed_probes + 1
    base_s = min(rules.open_max_s, rules.open_s * 2.0 ** min(failed, _DOUBLINGS_MAX))
    opened = _next(state, BreakerPhase.OPEN, now_s)
    return opened._replace(
        until_s=now_s + base_s * (1 - draw / 2),
        failed_probes=failed,
        outage=state.outage or opened.generation,
    )
