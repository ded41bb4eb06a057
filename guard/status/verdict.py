"""The one sentence that says how the service is, and what to do. Pure.

The rules, in the order in which they are asked; the first that holds speaks:

1. no worker, or none that gives a sign of life: down
2. a pool has lost all its connections, or a breaker is open: the database is sick
3. a breaker lets a growing share through: recovering; no worker is ready: not serving
4. requests were shed in the last seconds: shedding
5. requests found no room, and none was shed: relieved
6. a worker is silent or not ready: degraded
7. a lane is at its limit, or somebody waits: busy
8. off or shadow mode is told; else fine, or idle
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from guard.core.vocabulary import BreakerPhase, Lane, Mode, Reason
from guard.status.advice import LOOK_AT_DATABASE, NOTHING, Advice, advice, look_at_locks

if TYPE_CHECKING:
    from collections.abc import Sequence

BAD_RATIO = 0.1
"""Shedding at least this share of the requests is bad; less is a warning."""

FULL_RATIO = 0.5
"""A pool with no free connection at this share of the looks is full."""


class Level(StrEnum):
    """How urgent a verdict is."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


class LaneFacts(NamedTuple):
    """A lane as the verdict sees it, over all workers.

    Attributes:
        lane: which.
        in_use: connections in use, at most in the last seconds; where Guard has none of its
            own, permits held.
        size: connections asked for, or permits there are.
        working: of these, those that work now.
        waiting: requests that waited for a connection, at most in the last seconds.
        full_ratio: share of the last seconds' looks that found no connection free, 0 to 1.
        shed: refusals in the last seconds.
        admitted: admitted requests in the last seconds.
        top_reason: the reason of most of the refusals; None where there are none.
        breaker: the worst phase that a worker sees.
        probe_in_s: seconds until the next probe.
        lock_waiters: statements that wait for a lock in the database now.
    """

    lane: Lane
    in_use: int = 0
    size: int = 0
    working: int = 0
    waiting: int = 0
    full_ratio: float = 0.0
    shed: float = 0.0
    admitted: float = 0.0
    top_reason: Reason | None = None
    breaker: BreakerPhase = BreakerPhase.CLOSED
    probe_in_s: float = 0.0
    lock_waiters: int = 0

    @property
    def locked_out(self) -> bool:
        """Whether most of the connections in use wait for a lock."""
        return self.lock_waiters > self.in_use / 2

    @property
    def full(self) -> bool:
        """Whether the pool is what requests wait for: mostly no connection is free."""
        return self.full_ratio >= FULL_RATIO


class Facts(NamedTuple):
    """What the verdict is made from.

    Attributes:
        lanes: the lanes.
        workers: worker processes.
        ready: of these, those open for requests.
        silent: of these, those without a sign of life.
        silent_s: for how long the longest of them, seconds.
        would_shed: requests that shadow mode would have shed in the last seconds.
        relieved: those that found no room and were answered from the cache, or put off.
        seconds: the length of "the last seconds".
        p95_s: of the admitted in that time; None where there were none.
        mode: what the guard does with its decisions.
        one_process: the database belongs to one process (DuckDB).
    """

    lanes: Sequence[LaneFacts]
    workers: int
    ready: int
    silent: int = 0
    silent_s: float = 0.0
    would_shed: float = 0.0
    relieved: float = 0.0
    seconds: float = 10.0
    p95_s: float | None = None
    mode: Mode = Mode.ENFORCE
    one_process: bool = False


class Verdict(NamedTuple):
    """The verdict.

    Attributes:
        level: how urgent it is.
        sentence: one sentence without a full stop.
        advice: what to do about it; empty where nothing is to be done.
    """

    level: Level
    sentence: str
    advice: Advice = NOTHING


def verdict(facts: Facts) -> Verdict:
    """Return the verdict; see the module's rules."""
    for rule in _RULES:
        found = rule(facts)
        if found is not None:
            return found
    return _fine(facts)


def _down(facts: Facts) -> Verdict | None:
    if facts.workers == 0:
        text = "Down: there is no worker process"
        return Verdict(Level.BAD, text, Advice("See the service's log for why none starts."))
    if facts.silent == facts.workers:
        text = f"Down: no worker has given a sign of life for {facts.silent_s:.0f} s"
        hint = "The processes are stopped, or the machine is out of CPU or memory."
        return Verdict(Level.BAD, text, Advice(hint))
    return None


def _unconnected(facts: Facts) -> Verdict | None:
    # A worker that starts has no connection yet either, and sheds nothing for want of one.
    lost = [each for each in facts.lanes if each.size and not each.working and each.shed]
    if not lost:
        return None
    names = " and ".join(each.lane.value for each in lost)
    what = "pool has" if len(lost) == 1 else "pools have"
    text = f"Database unreachable: the {names} {what} no working connection"
    return Verdict(Level.BAD, f"{text}; shedding {_share(facts)}", LOOK_AT_DATABASE)


def _database(facts: Facts) -> Verdict | None:
    sick = [each for each in facts.lanes if each.breaker in _SICK]
    if not sick:
        return None
    names = " and ".join(each.lane.value for each in sick)
    verb = "breaker is" if len(sick) == 1 else "breakers are"
    probe_s = min(each.probe_in_s for each in sick)
    probe = f"next probe in {probe_s:.1f} s" if probe_s > 0 else "a probe is under way"
    text = f"Database failing: the {names} {verb} {sick[0].breaker.value}, {probe}"
    share = _share(facts)
    text += f"; shedding {share}" if share else ""
    return Verdict(Level.BAD, text, LOOK_AT_DATABASE)


def _recovering(facts: Facts) -> Verdict | None:
    back = [each.lane.value for each in facts.lanes if each.breaker is BreakerPhase.RECOVERING]
    if not back:
        return None
    share = _share(facts)
    text = f"Recovering: the {' and '.join(back)} breaker lets a growing share through"
    return Verdict(Level.WARN, f"{text}; shedding {share}" if share else text)


def _not_serving(facts: Facts) -> Verdict | None:
    if facts.ready:
        return None
    text = f"Not serving: none of {facts.workers} workers is ready"
    if facts.workers == 1:
        text = "Not serving: the worker is not ready"
    return Verdict(Level.BAD, text, advice(Reason.STARTING, Lane.READ))


def _shedding(facts: Facts) -> Verdict | None:
    share = _share(facts)
    if not share:
        return None
    worst = max(facts.lanes, key=lambda each: each.shed)
    others = [each for each in facts.lanes if each is not worst and each.shed]
    text = f"Shedding {share}: {_pool(worst)}"
    text += "".join(f"; {_pool(each)}" for each in others) + "; breaker closed"
    level = Level.BAD if _ratio(facts) >= BAD_RATIO else Level.WARN
    if worst.locked_out and not facts.one_process:
        return Verdict(level, text, look_at_locks(worst.lane))
    todo = advice(
        worst.top_reason or Reason.OK, worst.lane, full=worst.full, one_process=facts.one_process
    )
    return Verdict(level, text, todo)


def _relieved(facts: Facts) -> Verdict | None:
    if not facts.relieved:
        return None
    share = _percent(facts.relieved / _total(facts))
    text = f"Relieved: no room for {share}, answered from the cache or put off"
    text += "".join(f"; {_pool(each)}" for each in facts.lanes)
    hint = "The database is at its limit; clients get late answers and 202 instead of refusals."
    return Verdict(Level.WARN, text, Advice(hint))


def _degraded(facts: Facts) -> Verdict | None:
    if facts.silent:
        text = f"Degraded: {facts.silent} of {facts.workers} workers silent since "
        text += f"{facts.silent_s:.0f} s"
        return Verdict(Level.WARN, text, Advice("gunicorn replaces a worker that has died."))
    if facts.ready < facts.workers:
        text = f"Degraded: {facts.ready} of {facts.workers} workers are ready"
        return Verdict(Level.WARN, text, advice(Reason.STARTING, Lane.READ))
    return None


def _busy(facts: Facts) -> Verdict | None:
    busy = [each for each in facts.lanes if each.full and each.waiting]
    if not busy:
        return None
    text = "Busy: " + "; ".join(_pool(each) for each in busy) + "; nothing shed"
    return Verdict(Level.WARN, text)


_SICK = (BreakerPhase.OPEN, BreakerPhase.HALF_OPEN)
_RULES = (
    _down, _unconnected, _database, _recovering, _not_serving, _shedding, _relieved, _degraded,
    _busy,
)  # fmt: skip


def _fine(facts: Facts) -> Verdict:
    requests = sum(each.admitted for each in facts.lanes)
    rate = requests / facts.seconds if facts.seconds > 0 else 0.0
    pools = ", ".join(_pool(each) for each in facts.lanes)
    if facts.mode is Mode.OFF:
        hint = Advice("Nothing is decided or refused.", ("GUARD_MODE",))
        return Verdict(Level.WARN, f"Guard is off: {rate:.0f} requests/s pass undecided", hint)
    if facts.mode is Mode.SHADOW:
        would = 100 * facts.would_shed / (requests + facts.would_shed) if facts.would_shed else 0
        hint = Advice("Shadow mode refuses nothing.", ("GUARD_MODE",))
        return Verdict(Level.OK, f"Shadow: would have shed {would:.0f} %; {pools}", hint)
    if requests == 0:
        return Verdict(Level.OK, f"Idle: no requests in the last {facts.seconds:.0f} s; {pools}")
    latency = "" if facts.p95_s is None else f", p95 {_ms(facts.p95_s)}"
    return Verdict(Level.OK, f"Fine: {rate:.0f} requests/s{latency}; {pools}; nothing shed")


def _pool(lane: LaneFacts) -> str:
    text = f"{lane.lane.value} pool {lane.in_use}/{lane.size} used"
    return f"{text}, {lane.waiting} waiting" if lane.waiting else text


def _total(facts: Facts) -> float:
    decided = sum(each.shed + each.admitted for each in facts.lanes)
    return decided + facts.would_shed + facts.relieved


def _ratio(facts: Facts) -> float:
    shed = sum(each.shed for each in facts.lanes)
    return shed / _total(facts) if shed else 0.0


def _share(facts: Facts) -> str:
    ratio = _ratio(facts)
    return _percent(ratio) if ratio else ""


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.0f} %" if ratio >= 0.01 else "under 1 %"  # noqa: PLR2004 - as it says


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
