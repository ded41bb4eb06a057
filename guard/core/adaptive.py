"""How many connections of a pool are best used at once, where the database slows with more.

By Little's law a lane that completes ``X`` requests a second and holds each connection for ``h``
seconds uses ``X * h`` connections. While they are all in use, ``X`` is what the database gives at
that concurrency; if fewer give more, the rest only stand in each other's way.

The rule is a paired trial, repeated: measure ``X`` at the limit, at another limit, and at the
first one again, each over ``USES_MIN`` uses and ``WINDOW_S`` at least. The other limit is taken
when its ``X`` beats the mean of its neighbours by ``GAIN`` and by as much again as chance may do::

    X' / ((X1 + X2) / 2)  >  1 + GAIN + sqrt(1 / uses' + 1 / uses12)

A trial says nothing if the two neighbours differ by more than ``DRIFT``, or if in one of the
three windows less than ``BUSY`` of what was allowed was used: then demand decides, and no limit.
A limit that was not needed for ``FORGET_S`` is forgotten. Limits stay within 1 and the pool.

Sources: the search for a concurrency by its effect is that of Netflix concurrency-limits (Vegas,
Gradient2) and of hill climbing as in .NET's thread pool. Changed: those judge a latency against
its own past, so a database that is slow for another reason, or bimodal, shrinks them to nothing.
Here only throughput counts, which a smaller limit can't raise unless it really helps; and the
neighbours on both sides of a trial take slow changes out. Steps are large, since a small one
drowns in noise, and what failed is tried again after a pause that doubles, or earlier where the
throughput changes by more than ``DRIFT``. A trial that has clearly lost, by twice what chance may
do, ends before its time: it costs throughput.
"""

from __future__ import annotations

from math import ceil, floor, inf, sqrt
from typing import NamedTuple

WINDOW_S = 1.0
"""Shortest measurement."""
WINDOW_MAX_S = 20.0
"""A measurement that has not enough uses by then says nothing."""
USES_MIN = 400
"""Fewest uses of a measurement: chance then moves its rate by 5 % at the most."""
SETTLE_S = 0.2
"""After a change of the limit nothing is measured for so long: the older uses end first."""
GAIN = 0.03
"""Smallest gain for which a limit is moved."""
DRIFT = 0.15
"""Two measurements at one limit that differ by more say that something else changes."""
BUSY = 0.8
"""Share of the allowed connections that must be in use on the average."""
PAUSE_S = 5.0
"""Pause after the first trial that did not help; it doubles up to ``PAUSE_MAX_S``."""
PAUSE_MAX_S = 40.0
FORGET_S = 60.0
FACTORS = (0.5, 1.5, 0.75, 2.0)
"""Tried in turn; the one that helped is tried again at once."""

UNLIMITED = 1 << 30
_PARTS = 3
_SURE = 2.0


class Rate(NamedTuple):
    """One measurement.

    Attributes:
        per_s: completed uses per second.
        uses: how many.
    """

    per_s: float
    uses: int


class Adaptive(NamedTuple):
    """A lane's search. Times on the caller's monotonic clock, seconds.

    Attributes:
        limit: connections that may be used at once; ``UNLIMITED``: all.
        tried: the limit under trial.
        factor: index of the next factor to try.
        rates: measurements of the trial under way: before, during, after it.
        began_s: when the measurement under way began, or begins after a change.
        began_uses: the total of uses then.
        began_used_s: the total of used seconds then; None until it has begun.
        paused_until_s: no trial begins before.
        paused_per_s: the rate when the pause began; 0 where it was not measured yet.
        pause_s: length of the next pause.
        needed_s: when the limit, or all connections, were last in use.
    """

    limit: int = UNLIMITED
    tried: int = UNLIMITED
    factor: int = 0
    rates: tuple[Rate, ...] = ()
    began_s: float = -inf
    began_uses: int = 0
    began_used_s: float | None = None
    paused_until_s: float = -inf
    paused_per_s: float = 0.0
    pause_s: float = PAUSE_S
    needed_s: float = -inf


def allowed(state: Adaptive, slots: int) -> int:
    """Return how many connections may be used at once now: 1 to ``slots``; 0 without any."""
    return min(slots, state.tried if len(state.rates) == 1 else state.limit)


def look(  # noqa: PLR0911 - what ends a measurement, one after the other
    state: Adaptive, slots: int, uses: int, used_s: float, now_s: float
) -> Adaptive:
    """Return the state after one look; to be called some times in each second.

    Args:
        state: the state so far.
        slots: connections that work, >= 0.
        uses: uses of a connection that have ended, in total.
        used_s: the sum of their lengths, seconds.
        now_s: the time.
    """
    if state.began_used_s is None or uses < state.began_uses:
        if now_s < state.began_s:
            return state
        needed_s = now_s if state.needed_s == -inf else state.needed_s
        return _begun(state, uses, used_s, now_s)._replace(needed_s=needed_s)
    took_s, done = now_s - state.began_s, uses - state.began_uses
    if _hopeless(state, done, took_s):
        return _settling(_failed(state, now_s, steady=True), now_s)
    if took_s < WINDOW_S or (done < USES_MIN and took_s < WINDOW_MAX_S):
        return state
    busy = used_s - state.began_used_s >= BUSY * allowed(state, slots) * took_s
    if slots <= 0 or not busy or done < USES_MIN:
        return _begun(_unneeded(state, now_s), uses, used_s, now_s)
    state = _begun(state._replace(needed_s=now_s), uses, used_s, now_s)
    rate = Rate(done / took_s, done)
    if state.rates or now_s >= state.paused_until_s:
        return _measured(state, slots, rate, now_s)
    return _watched(state, rate, now_s)


def _begun(state: Adaptive, uses: int, used_s: float, now_s: float) -> Adaptive:
    return state._replace(began_s=now_s, began_uses=uses, began_used_s=used_s)


def _settling(state: Adaptive, now_s: float) -> Adaptive:
    return state._replace(began_s=now_s + SETTLE_S, began_used_s=None)


def _unneeded(state: Adaptive, now_s: float) -> Adaptive:
    state = state._replace(rates=())
    if now_s - state.needed_s < FORGET_S:
        return state
    return state._replace(limit=UNLIMITED, factor=0, pause_s=PAUSE_S, needed_s=now_s)


def _measured(state: Adaptive, slots: int, rate: Rate, now_s: float) -> Adaptive:
    rates = (*state.rates, rate)
    if len(rates) == _PARTS:
        return _judged(state, slots, rates, now_s)
    if len(rates) == 1:
        tried = _other(min(state.limit, slots), FACTORS[state.factor], slots)
        if tried == min(state.limit, slots):
            return _failed(state, now_s, steady=True)
        state = state._replace(tried=tried)
    return _settling(state._replace(rates=rates), now_s)


def _other(limit: int, factor: float, slots: int) -> int:
    found = floor(limit * factor) if factor < 1 else ceil(limit * factor)
    return max(1, min(slots, found))


def _judged(state: Adaptive, slots: int, rates: tuple[Rate, ...], now_s: float) -> Adaptive:
    before, during, after = rates
    base_per_s = (before.per_s + after.per_s) / 2
    chance = sqrt(1 / during.uses + 1 / (before.uses + after.uses))
    steady = abs(before.per_s - after.per_s) <= DRIFT * base_per_s
    if steady and during.per_s > base_per_s * (1 + GAIN + chance):
        limit = UNLIMITED if state.tried >= slots else state.tried
        return _settling(state._replace(limit=limit, rates=(), pause_s=PAUSE_S), now_s)
    return _failed(state, now_s, steady=steady)


def _failed(state: Adaptive, now_s: float, *, steady: bool) -> Adaptive:
    factor = (state.factor + 1) % len(FACTORS)
    state = state._replace(rates=(), factor=factor)
    if factor and steady:
        return state  # each factor is tried once before there is a pause
    pause_s = min(PAUSE_MAX_S, 2 * state.pause_s)
    paused_until_s = now_s + state.pause_s
    return state._replace(paused_until_s=paused_until_s, paused_per_s=0.0, pause_s=pause_s)


def _watched(state: Adaptive, rate: Rate, now_s: float) -> Adaptive:
    if not state.paused_per_s:
        return state._replace(paused_per_s=rate.per_s)
    if abs(rate.per_s - state.paused_per_s) <= DRIFT * state.paused_per_s:
        return state
    return state._replace(paused_until_s=now_s, pause_s=PAUSE_S)


def _hopeless(state: Adaptive, done: int, took_s: float) -> bool:
    if len(state.rates) != 1 or took_s < SETTLE_S:
        return False
    doubt = _SURE * sqrt(1 / (done + 1) + 1 / state.rates[0].uses)
    return done / took_s < state.rates[0].per_s * (1 - doubt)
