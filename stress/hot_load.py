"""Users who mostly read the same few things: the load of the cache's scenario."""

from __future__ import annotations

import random
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from stress.arrivals import CREATE, Stage, schedule
from stress.load import User, generate, users
from stress.payloads import Payloads, count, look_up

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stress.result import Run
    from stress.shots import Target

LOOK_UPS: Final = 0.80
COUNTS: Final = 0.15
"""Shares of the users; the rest creates a warrior and looks it up."""
_STORED_PER_S: Final = 40.0


def store(target: Target, number: int, seed: int) -> list[Mapping[str, Any]]:
    """Create warriors and return them as the service described them."""
    plan = {CREATE: (Stage(number / _STORED_PER_S, _STORED_PER_S, _STORED_PER_S),)}
    found = generate(target, users(schedule(plan), seed), number / _STORED_PER_S)
    return [one.acknowledged for one in found.samples if one.acknowledged is not None]


def hot_users(
    warriors: Sequence[Mapping[str, Any]], rate: float, seconds: float, seed: int
) -> list[User]:
    """Return users who arrive evenly; the k-th warrior is looked up with a weight of 1 / k.

    Args:
        warriors: those that are looked up, at least one.
        rate: users per second, > 0.
        seconds: for how long, > 0.
        seed: the same one makes the same users.
    """
    draw, payloads = random.Random(seed), Payloads(seed)
    weights = list(accumulate(1 / place for place in range(1, len(warriors) + 1)))
    found = []
    for number in range(round(rate * seconds)):
        kind = draw.random()
        if kind < LOOK_UPS:
            request = look_up(draw.choices(warriors, cum_weights=weights)[0])
        elif kind < LOOK_UPS + COUNTS:
            request = count()
        else:
            request = payloads.request(CREATE)
        found.append(User((number + 0.5) / rate, request, payloads.think_s()))
    return found


def replay_hot(
    target: Target, warriors: Sequence[Mapping[str, Any]], rate: float, seconds: float, seed: int
) -> Run:
    """Send these users to the service and return what became of them."""
    return generate(target, hot_users(warriors, rate, seconds, seed), seconds)
