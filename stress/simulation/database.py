"""A database as its clients see it: how long it holds a connection, and whether it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from guard.core.vocabulary import Outcome
from stress.simulation.timeline import ALWAYS, AWAY, FROZEN, Timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from stress.simulation.engine import Engine

REFUSED_S: Final = 0.001
"""A database that is away refuses a connection after so long."""
WATCHDOG_S: Final = 0.5
"""A call to a frozen server ends so long after the statement's time-out."""

_QUICK, _SLOW, _SLOW_SHARE = 0.5, 5.5, 0.1
_GAMMA_SHAPE: Final = 4.0


def _bimodal(draw: Random) -> float:
    return _SLOW if draw.random() < _SLOW_SHARE else _QUICK


SPREADS: Final[Mapping[str, Callable[[Random], float]]] = {
    "fixed": lambda _draw: 1.0,
    "uniform": lambda draw: 0.5 + draw.random(),
    "gamma": lambda draw: draw.gammavariate(_GAMMA_SHAPE, 1 / _GAMMA_SHAPE),
    "exponential": lambda draw: draw.expovariate(1.0),
    "bimodal": _bimodal,
}
"""One service time over the mean of all, by the name of its distribution. Uniform is between 0.5
and 1.5, gamma has a deviation of half its mean, bimodal is 0.5 in nine of ten and 5.5 in one."""


def steady(mean_s: float) -> Callable[[int, float], float]:
    """Return the mean service time of a database that does not slow down."""
    return lambda _busy, _at_s: mean_s


def slowing(cores: int, loss: float, base_s: float) -> Callable[[int, float], float]:
    """Return mean service times of a database on ``cores``, with a loss for each query beyond them.

    Its throughput is ``min(n, cores) / base_s / (1 + loss * (n - cores))``.
    """

    def mean_s(busy: int, _at_s: float) -> float:
        return base_s * max(1.0, busy / cores) * (1.0 + loss * max(0, busy - cores))

    return mean_s


class Service(NamedTuple):
    """How long the database holds a connection.

    Attributes:
        mean_s: the mean with so many connections in use at a time, seconds: ``f(n, at_s)``.
        spread: one of ``SPREADS``.
        stages: when it is slower, frozen or away.
    """

    mean_s: Callable[[int, float], float]
    spread: str = "fixed"
    stages: Timeline = ALWAYS

    def capacity_per_s(self, connections: int) -> float:
        """Return the best throughput with up to so many connections, at speed 1."""
        return max(n / self.mean_s(n, 0.0) for n in range(1, connections + 1))

    def away(self, at_s: float) -> bool:
        """Return whether the database can't be reached."""
        return self.stages.speed(at_s) == AWAY


class Use(NamedTuple):
    """One use of a connection.

    Attributes:
        end_s: when it ends.
        outcome: how.
    """

    end_s: float
    outcome: Outcome


class Database:
    """Serves all connections of all workers. Not thread-safe.

    Args:
        engine: its clock.
        service: its service times.
        draw: its randomness.

    Attributes:
        busy: connections in use.
        busy_max: the most that ever were.
    """

    __slots__ = ("_engine", "_random", "_service", "_spread", "busy", "busy_max")

    def __init__(self, engine: Engine, service: Service, draw: Random) -> None:
        self._engine = engine
        self._service = service
        self._spread = SPREADS[service.spread]
        self._random = draw
        self.busy = 0
        self.busy_max = 0

    def begin(self, bound_s: float, slowness: float = 1.0) -> Use:
        """Begin to use a connection; the caller says when it has ended.

        Args:
            bound_s: the statement's time-out, seconds.
            slowness: how much longer than usual this one takes.
        """
        self.busy += 1
        self.busy_max = max(self.busy, self.busy_max)
        now_s, service = self._engine.now, self._service
        work_s = service.mean_s(self.busy, now_s) * self._spread(self._random) * slowness
        end_s, ok = service.stages.end(now_s, work_s)
        if end_s > now_s + bound_s:
            return self._cut_off(now_s + bound_s)
        if not ok:
            return Use(max(end_s, now_s + REFUSED_S), Outcome.FAILURE)
        return Use(end_s, Outcome.OK)

    def _cut_off(self, at_s: float) -> Use:
        # A server that lives ends the statement itself; a frozen one leaves it to the watchdog.
        if self._service.stages.speed(at_s) == FROZEN:
            return Use(at_s + WATCHDOG_S, Outcome.FAILURE)
        return Use(at_s, Outcome.NEUTRAL)

    def end(self) -> None:
        """Hear that a use has ended."""
        self.busy -= 1
