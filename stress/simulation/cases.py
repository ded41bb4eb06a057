"""Situations drawn at random, each from a seed of its own."""

from __future__ import annotations

from math import exp, log
from random import Random
from typing import TYPE_CHECKING, Final

from stress.simulation.clients import OBEDIENT, ONCE, STUBBORN
from stress.simulation.database import SPREADS, Service, steady
from stress.simulation.situation import THREADS, Situation
from stress.simulation.timeline import ALWAYS, AWAY, FROZEN, Stage, Timeline

if TYPE_CHECKING:
    from stress.simulation.clients import Kind

LENGTH_S: Final = 30.0
CAPACITY_PER_S: Final = (40.0, 800.0)
HOLD_S: Final = (0.005, 0.2)
POOL_MOST: Final = 32
LOAD: Final = (0.3, 6.0)
WAITERS_PER_SLOT: Final = (0.5, 4.0)
BUDGET_IN_HOLDS: Final = (1.0, 10.0)
"""Smallest and largest of each, drawn so that each doubling is as likely."""
BURSTS: Final = 2
"""So many fit into a queue that is sized for them, since they may come close together."""
RESERVE: Final = 4
"""Threads beyond what the pool and those that wait can hold: no policy is kept from refusing."""
KINDS: Final[tuple[tuple[Kind, ...], ...]] = (
    (ONCE,),
    (OBEDIENT,),
    (STUBBORN,),
    (OBEDIENT._replace(share=0.5), STUBBORN._replace(share=0.5)),
)
DISTURBANCES: Final = {
    "": (1.0, 1.0),
    "slower": (0.1, 0.7),
    "frozen": (FROZEN, FROZEN),
    "away": (AWAY, AWAY),
}
"""What may happen to the database, and its speed then. The time is drawn, 1 to 10 s."""


def case(seed: int, *, sized: bool = False) -> Situation:
    """Return a situation; the same arguments give the same one.

    Its name tells what is in it.

    Args:
        seed: of all that is drawn.
        sized: give its queue at least the places, and the wait, that two of its bursts need.
    """
    draw = Random(f"case {seed}")
    hold_s = _between(draw, HOLD_S)
    pool = max(1, min(POOL_MOST, round(_between(draw, CAPACITY_PER_S) * hold_s)))
    spread = draw.choice(list(SPREADS))
    what, stages = _disturbance(draw)
    surge, surges = _surge(draw)
    burst = draw.choice((1, 1, 1, round(_between(draw, (2, 50)))))
    kinds = draw.choice(KINDS)
    waiters = max(1, round(pool * _between(draw, WAITERS_PER_SLOT)))
    budget_s = hold_s * _between(draw, BUDGET_IN_HOLDS)
    load = _between(draw, LOAD)
    if sized:
        waiters = max(waiters, BURSTS * burst)
        budget_s = max(budget_s, BURSTS * burst * hold_s / pool)
    return Situation(
        name=_name(
            f"{load:.1f}x of {pool} x {hold_s * 1e3:.0f} ms ({spread})",
            f"{waiters} may wait {budget_s * 1e3:.0f} ms",
            f"clients: {' and '.join(kind.name for kind in kinds)}",
            f"{burst} at once" if burst > 1 else "",
            what,
            surge,
        ),
        service=Service(steady(hold_s), spread, stages), load=load, length_s=LENGTH_S,
        surges=surges, burst=burst, kinds=kinds, pool=pool, waiters=waiters, budget_s=budget_s,
        threads=max(THREADS, pool + waiters + RESERVE),
    )  # fmt: skip


def _name(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _between(draw: Random, bounds: tuple[float, float]) -> float:
    low, high = bounds
    return exp(draw.uniform(log(low), log(high)))


def _disturbance(draw: Random) -> tuple[str, Timeline]:
    word = draw.choice(list(DISTURBANCES))
    speed = draw.uniform(*DISTURBANCES[word])
    from_s, to_s = _stretch(draw)
    if not word:
        return "", ALWAYS
    told = f"{1 / speed:.1f} times slower" if word == "slower" else word
    stages = Timeline([Stage(from_s, speed), Stage(to_s, 1.0)])
    return f"{told} from {from_s:.0f} s to {to_s:.0f} s", stages


def _surge(draw: Random) -> tuple[str, Timeline]:
    factor = _between(draw, (0.2, 5.0))
    from_s, to_s = _stretch(draw)
    if draw.random() < 0.5:  # noqa: PLR2004 - half of them
        return "", ALWAYS
    told = f"{factor:.1f} times as many from {from_s:.0f} s to {to_s:.0f} s"
    return told, Timeline([Stage(from_s, factor), Stage(to_s, 1.0)])


def _stretch(draw: Random) -> tuple[float, float]:
    from_s = draw.uniform(3.0, LENGTH_S / 2)
    return from_s, from_s + draw.uniform(1.0, 10.0)
