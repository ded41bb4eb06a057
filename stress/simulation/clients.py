"""Who asks, how often, and what they do when they are refused or get no answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guard.core.vocabulary import Priority
from stress.simulation.timeline import ALWAYS, Timeline

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

NETWORK_S: Final = (0.001, 0.01)
"""A retry is under way for so long, at least and at most."""
GIVE_UP_S: Final = 1.0
"""A client's usual time-out: after it nobody wants the answer."""


class Kind(NamedTuple):
    """A kind of clients, whose requests come whatever became of the last one.

    Attributes:
        name: for tables.
        share: of all fresh requests, in (0, 1].
        tries: how often a request is sent at most.
        obeys: waits as long as a refusal says. Otherwise, and where there is no refusal, as long
            as ``pause_s``, doubled with each try, between half and one and a half of it.
        timeout_s: gives up waiting for an answer.
        pause_s: the first pause of those that don't obey.
        client: the key by which the guard tells this kind apart; empty for nobody in particular.
        priority: the class of its requests.
    """

    name: str = "once"
    share: float = 1.0
    tries: int = 1
    obeys: bool = True
    timeout_s: float = GIVE_UP_S
    pause_s: float = 0.1
    client: str = ""
    priority: Priority = Priority.NORMAL

    def back_s(self, number: int, told_s: float, draw: Random) -> float:
        """Return how long it waits before it sends a request again.

        Args:
            number: of the try that has failed, from 1.
            told_s: what the refusal said, seconds; 0 where nothing was said.
            draw: the randomness.
        """
        if self.obeys and told_s:
            return told_s + draw.uniform(*NETWORK_S)
        return self.pause_s * 2.0 ** (number - 1) * (0.5 + draw.random())


ONCE: Final = Kind()
OBEDIENT: Final = Kind("obedient", tries=3)
STUBBORN: Final = Kind("stubborn", tries=6, obeys=False)


class Arrivals(NamedTuple):
    """Fresh requests: a Poisson process, so the time to the next says nothing about the one after.

    Attributes:
        rate_per_s: at speed 1, requests per second.
        length_s: none comes later.
        stages: when more come, or fewer.
        burst: so many come at each of the process's moments.
    """

    rate_per_s: float
    length_s: float
    stages: Timeline = ALWAYS
    burst: int = 1

    def dues_s(self, draw: Random) -> Iterator[float]:
        """Yield when each request is due, ascending, seconds from the beginning."""
        rate, end = self.rate_per_s / self.burst, self.stages.end
        due_s = end(0.0, draw.expovariate(rate)).at_s
        while due_s < self.length_s:
            for _ in range(self.burst):
                yield due_s
            due_s = end(due_s, draw.expovariate(rate)).at_s

    def expected(self) -> float:
        """Return how many requests come, on the average."""
        return self.rate_per_s * self.stages.work_s(0.0, self.length_s)


class Try:
    """One sending of a request, as its client, its worker and the count of all see it.

    Attributes:
        kind: whose it is.
        request: the number of the request, from 0.
        first_s: when the request's first try was sent.
        number: of this try, from 1.
        sent_s: when it was sent.
        heard: whether the client still waits for the answer.
        ends_s: when its use of the database ends; ``inf`` before it begins.
        token: what the policy that admitted it keeps with it.
        in_pool: whether it waits for a connection.
    """

    __slots__ = (
        "ends_s", "first_s", "heard", "in_pool", "kind", "number", "request", "sent_s", "token",
    )  # fmt: skip

    def __init__(
        self, kind: Kind, request: int, first_s: float, number: int, sent_s: float
    ) -> None:
        self.kind = kind
        self.request = request
        self.first_s = first_s
        self.number = number
        self.sent_s = sent_s
        self.heard = True
        self.ends_s = float("inf")
        self.token: Any = None
        self.in_pool = False
