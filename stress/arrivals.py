"""When virtual users arrive: stages of rates in, due times out. Pure and exact."""

from __future__ import annotations

import heapq
from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CREATE = "create"
SEARCH = "search"
NO_TERM = "no-term"
LOOK_UP = "look-up"
LARGE = "large"
"""A create whose warrior is as long as the service takes it."""
TOO_LONG = "too-long"
"""A create whose body is longer than the service reads."""
COUNT = "count"
KINDS = (CREATE, LOOK_UP, SEARCH, NO_TERM, LARGE, TOO_LONG, COUNT)
"""Every kind of request, in the order of the tables. A look-up follows a create."""
WITHOUT_DATABASE = frozenset({NO_TERM, TOO_LONG})
"""The kinds that are answered without the database, and never shed."""


class Stage(NamedTuple):
    """A stretch of time over which the arrival rate changes linearly.

    Attributes:
        seconds: its length, >= 0.
        rate_from: arrivals per second at its beginning, >= 0.
        rate_to: the same at its end; equal to ``rate_from`` for a constant rate.
    """

    seconds: float
    rate_from: float
    rate_to: float

    @property
    def arrivals(self) -> float:
        """The arrivals that the stage amounts to, with a fraction."""
        return self.seconds * (self.rate_from + self.rate_to) / 2


class Arrival(NamedTuple):
    """One virtual user.

    Attributes:
        due_s: when, seconds from the beginning.
        kind: one of ``KINDS``.
    """

    due_s: float
    kind: str


INCIDENT: Mapping[str, Sequence[Stage]] = {
    CREATE: (Stage(10, 2, 2), Stage(15, 5, 5), Stage(45, 6, 100)),
    SEARCH: (Stage(25, 10, 10), Stage(45, 6, 80)),
    NO_TERM: (Stage(25, 8, 8), Stage(45, 6, 50)),
}
"""The arrivals of the incident: 2,480 + 2,185 + 1,460 users in 70 s."""

MIX: Mapping[str, float] = {CREATE: 100 / 230, SEARCH: 80 / 230, NO_TERM: 50 / 230}
"""Each kind's share of the arrivals at the incident's peak."""


def constant(rate: float, seconds: float) -> dict[str, Sequence[Stage]]:
    """Return the incident's mix at ``rate`` arrivals per second, look-ups not counted."""
    return {kind: (Stage(seconds, rate * share, rate * share),) for kind, share in MIX.items()}


def due_times(stages: Sequence[Stage], time_scale: float = 1.0) -> list[float]:
    """Return when each arrival is due, ascending seconds from the beginning.

    The k-th arrival (from 0) is due when the integral of the rate reaches k + 1/2, so the
    number of arrivals is the integral's, rounded, and none falls on the very end.

    Args:
        stages: one after the other.
        time_scale: shortens (< 1) or lengthens (> 1) every stage; the rates stay.

    Raises:
        ValueError: a negative length or rate, or a scale that is not positive.
    """
    if time_scale <= 0:
        raise ValueError(f"the time scale must be positive, not {time_scale}")
    times: list[float] = []
    begun_s, passed = 0.0, 0.0
    for stage in stages:
        if min(stage) < 0:
            raise ValueError(f"a stage must not have a negative length or rate: {stage}")
        scaled = stage._replace(seconds=stage.seconds * time_scale)
        total = passed + scaled.arrivals
        while (target := len(times) + 0.5) < total:
            times.append(begun_s + _time_of(scaled, target - passed))
        begun_s += scaled.seconds
        passed = total
    return times


def _time_of(stage: Stage, arrivals: float) -> float:
    # Solves rate_from * t + slope / 2 * t^2 = arrivals, in the form that is stable at slope 0.
    slope = (stage.rate_to - stage.rate_from) / stage.seconds
    root = sqrt(max(0.0, stage.rate_from**2 + 2 * slope * arrivals))
    return min(stage.seconds, 2 * arrivals / (stage.rate_from + root))


def schedule(plan: Mapping[str, Sequence[Stage]], time_scale: float = 1.0) -> list[Arrival]:
    """Return all arrivals of a plan (stages by kind) in the order in which they are due.

    Raises:
        ValueError: as ``due_times``.
    """
    return list(
        heapq.merge(
            *(
                [Arrival(due, kind) for due in due_times(stages, time_scale)]
                for kind, stages in plan.items()
            )
        )
    )


def length_s(plan: Mapping[str, Sequence[Stage]], time_scale: float = 1.0) -> float:
    """Return how long a plan takes, seconds."""
    return time_scale * max(sum(stage.seconds for stage in stages) for stages in plan.values())
