"""Which second a refused client is promised: the rules of the appointment book.

Obedient clients come back *exactly* when they are told. A service that tells all of them the same
second is overrun in that second, so the book gives each coming second only the requests that it
can serve besides those that come anyway:

    spare = floor(0.8 * capacity - fresh)            requests per second, >= 0

``fresh``
    Arrivals per second that no promise accounts for: the moving average of
    ``max(0, arrived - promised)``. Who was promised a second and stays away lowers it, so the book
    over-books as an airline does, and what arrives stays at the capacity.
``capacity``
    What has been served in a second is proof. ``best`` is the largest such figure, forgetting a
    600th part in each second that serves less; a second that serves nothing (an outage, a quiet
    night) proves nothing and forgets nothing. Under light load that is the load and not the
    capacity, so the book trusts up to twice as much, as TCP doubles its window, but no more than
    the pools' own bound by Little's law (slots / hold time):

        capacity = max(best, min(2 * best, slots / hold))

    While more than a tenth is refused for want of room, what is served *is* the capacity: then,
    and for a minute afterwards, the doubling is off. Before anything was served: slots / hold.
``0.8``
    Chance needs room: a queue that is offered all it can serve grows without bound, and a promise
    that meets a full queue is broken. And slots / hold is a little too much, since a slot that is
    given back is not taken again at once.

A client gets the first second of its window that has less than ``spare`` promises, and less than
``ceil(spare / 4)`` in the quarter of a second in which it would come: it keeps its place within
the second, for it waits whole seconds. (Without the quarters those who were refused together
come together, and a queue of 0.2 s is no match for it: after an outage of 50 s 96.7 % were served
instead of 99.0.) Where all are full it gets any of them, each as likely: the uniform spread is
what an overload that lasts comes down to, since then ``spare`` is 0.

=============================  =====================================  ========================
a refusal                      first second of the window             last second
=============================  =====================================  ========================
for want of room               the smallest answer, or once the       half the horizon
                               queue has drained
in an outage                   half the horizon, or after the next    the horizon,
                               probe                                  ``retry_after_max_s``
=============================  =====================================  ========================

Nobody knows how long an outage will last, and a client gives up after some tries, three as a
rule. Seconds soon after the next probe would use up the tries of the first ones within moments,
so each is asked to wait half the horizon at least. An outage of half the horizon then costs
nobody more than one try, and leaves one for chance; whoever comes three times outlasts one as
long as the horizon. In a simulated outage of half the horizon, from 30 s to 60 s, with the load at
half the capacity, all were served; with a horizon of 30 s, 96 %. The price is paid in short
outages. (One early try for those who came in the first 3 s served them after 4 s where it was
over by then, but of an outage of 40 s it lost 4 %.)
"""

from __future__ import annotations

from math import ceil, floor
from typing import NamedTuple

from guard.core.promise_ring import QUARTERS
from guard.core.vocabulary import Reason

SHARE = 0.8
"""Part of the capacity that is planned for."""
HEADROOM = 2.0
"""How much more than ever seen the book believes in."""
WEIGHT = 0.2
"""Weight of a new second in the moving averages: nine seconds make up 87 % of it."""
FORGET = 1 / 600
"""Part of the best figure that a second which serves less takes away."""
WARM_S = 10
"""Seconds after its start in which a service may be slow and nothing follows from it."""
CROWDED_S = 60
"""Seconds for which want of room rules out the headroom."""
CROWDED_RATIO = 0.1
"""Part of the arrivals, on the moving average, that must be refused for want of room. One second
in which the machine was busy with something else says little."""
CROWDED_SERVED_RATIO = 0.75
"""Part of the best figure that a second must serve to count in that: one that an outage cuts short
serves less, and refuses since there are no connections."""

RATE_MAX_PER_S = 1e6
"""More requests per second than any host serves: a larger figure is none."""

CROWDING = frozenset(
    {
        Reason.POOL_SATURATED,
        Reason.THREADS_EXHAUSTED,
        Reason.QUEUE_DELAY,
        Reason.LOW_PRIORITY,
        Reason.UNFAIR_SHARE,
    }
)
"""The reasons that say that there was no room."""


class Second(NamedTuple):
    """What one second has brought to a lane, over all workers of the host.

    Attributes:
        arrived: requests, refused ones included.
        served: of these, admitted ones.
        crowded_out: of these, refused for one of ``CROWDING``.
        promised: clients that were told to come in it.
    """

    arrived: float
    served: float
    crowded_out: float
    promised: float


class Pace(NamedTuple):
    """What the book remembers of a lane.

    Attributes:
        seconds: how many it has seen.
        fresh_per_s: moving average of arrivals that no promise accounts for.
        served_per_s: moving average of requests served.
        best_per_s: the most that it was, slowly forgotten; 0 before anything was served.
        crowded_ratio: moving average of the part that was refused for want of room.
        crowded_left_s: seconds for which the headroom stays off.
    """

    seconds: int = 0
    fresh_per_s: float = 0.0
    served_per_s: float = 0.0
    best_per_s: float = 0.0
    crowded_ratio: float = 0.0
    crowded_left_s: int = 0


class Window(NamedTuple):
    """Seconds from now in which a client may be told to come back, both included.

    Attributes:
        first_s: the soonest, >= 1.
        last_s: the latest, >= ``first_s``.
    """

    first_s: int
    last_s: int


def observe(pace: Pace, second: Second) -> Pace:
    """Return what is remembered after one more second."""
    # The first few seconds count alike, so that a start needs no warming up.
    weight = max(WEIGHT, 1 / (pace.seconds + 1))
    fresh = max(0.0, second.arrived - second.promised)
    served_per_s = pace.served_per_s + weight * (second.served - pace.served_per_s)
    best, crowded_ratio = pace.best_per_s, pace.crowded_ratio
    if 0 < CROWDED_SERVED_RATIO * best <= second.served:
        crowded_ratio += weight * (second.crowded_out / second.arrived - crowded_ratio)
    crowded = pace.seconds >= WARM_S and crowded_ratio > CROWDED_RATIO
    if second.served > 0:
        best = max(best * (1 - FORGET), served_per_s)
    return Pace(
        seconds=pace.seconds + 1,
        fresh_per_s=pace.fresh_per_s + weight * (fresh - pace.fresh_per_s),
        served_per_s=served_per_s,
        best_per_s=best,
        crowded_ratio=crowded_ratio,
        crowded_left_s=CROWDED_S if crowded else max(0, pace.crowded_left_s - 1),
    )


def capacity_per_s(pace: Pace, bound_per_s: float) -> float:
    """Return how many requests a second can serve, as far as is known.

    Args:
        pace: what is remembered.
        bound_per_s: slots / hold time, over all workers, >= 0.
    """
    if pace.best_per_s == 0:
        return bound_per_s
    headroom = 1.0 if pace.crowded_left_s else HEADROOM
    return max(pace.best_per_s, min(headroom * pace.best_per_s, bound_per_s))


def spare_per_s(pace: Pace, bound_per_s: float) -> int:
    """Return how many clients a second can be promised, >= 0; see the module."""
    return max(0, floor(SHARE * capacity_per_s(pace, bound_per_s) - pace.fresh_per_s))


def window(not_before_s: float, low_s: int, high_s: int, *, outage: bool) -> Window:
    """Return the seconds from now that are open to a client.

    Args:
        not_before_s: seconds until the next probe, or until the queue has drained.
        low_s: smallest answer, >= 1.
        high_s: largest answer, the horizon, >= ``low_s``.
        outage: whether the database is away.
    """
    half_s = max(low_s, ceil(high_s / 2))
    if outage:
        first_s, last_s = max(half_s, ceil(not_before_s) + 1), high_s
    else:
        first_s, last_s = max(low_s, ceil(not_before_s)), half_s
    return Window(min(last_s, first_s), last_s)


def has_room(promised: int, in_quarter: int, spare: int) -> bool:
    """Return whether a second can be promised to one more client.

    Args:
        promised: its promises so far.
        in_quarter: those of them for the quarter in which the client would come.
        spare: promises that a second can take.
    """
    return promised < spare and in_quarter * QUARTERS < spare


def spread(draw: float, first: int, last: int) -> int:
    """Return one of the seconds ``first`` to ``last``, each as likely.

    Args:
        draw: a uniform random number in ``[0, 1)``.
        first: the first of them.
        last: the last, >= ``first``.
    """
    return first + int(draw * (last - first + 1))


def kept(second: Second) -> tuple[float, float]:
    """Return the promises that fell due in a second, and how many of them were kept.

    Clients don't say who they are, so those who came back can't be told from the others. But
    refusals don't choose either: of those who came back in a second, the same share was served
    as of all who arrived in it. Summed over the seconds, kept / due is therefore the share of the
    returned that were served, if about the same part of the clients obeys in each.

    A second in which nobody arrived counts for nothing: nobody came back.
    """
    if second.arrived <= 0:
        return 0.0, 0.0
    return second.promised, second.promised * min(1.0, second.served / second.arrived)
