"""One variant under one load: what is sent, and what became of it. Pure but for the clock."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stress.compare.app import CAPACITY_PER_S
from stress.result import GOOD_WITHIN_S, Percentiles, percentile, percentiles
from stress.shots import OWN_LIMITS, Shot

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from stress.shots import Outcome, Volley

NEW: Final = "new"
KEPT: Final = "keep-alive"
CONNECTIONS: Final = (NEW, KEPT)
"""A connection per request, closed by the client after the answer; or kept for the next one."""
TIMEOUT_S: Final = 1.0
LAG_MAX_S: Final = 0.02
"""A cell whose 99th percentile of start lag is larger is void: refusals take a millisecond."""

_OK: Final = 200
_REFUSALS: Final = (429, 503)


@dataclass(frozen=True, slots=True)
class Cell:
    """One variant under one load.

    Attributes:
        variant: its name.
        connections: one of ``CONNECTIONS``.
        load: offered requests in multiples of the capacity.
        offered_per_s: requests sent per second of the schedule.
        goodput_per_s: answers within 1 s of the due time, per second until the last of them.
        admitted: latencies of all answers with a 200.
        shed: latencies of all refusals.
        failed: requests without an answer, or with another one.
        cpu_s: processor time of the server and its proxy.
        lag_p99_ms: the generator's own lateness.
        generator_cores: what the generator took.
        void: why the cell says nothing; empty where it is good.
    """

    variant: str
    connections: str
    load: float
    offered_per_s: float
    goodput_per_s: float
    admitted: Percentiles
    shed: Percentiles
    failed: int
    cpu_s: float
    lag_p99_ms: float
    generator_cores: float
    void: str

    @property
    def capacity_share(self) -> float:
        """Goodput over the capacity."""
        return self.goodput_per_s / CAPACITY_PER_S

    def times_unloaded(self, unloaded: Cell) -> float:
        """Return the admitted's p99 over its value in a cell without overload."""
        return self.admitted.p99 / unloaded.admitted.p99

    def cpu_per_refusal_us(self, loaded: Cell, unloaded: Cell) -> float:
        """Return what one more refusal costs, microseconds; NaN where not many more were refused.

        It is the processor time beyond that of a cell with fewer refusals in which the database
        is as busy. Answers that one of the two has more count at their price without overload.
        """
        more = self.shed.count - loaded.shed.count
        if more < max(1, loaded.admitted.count // 4) or not unloaded.admitted.count:
            return math.nan
        price_s = unloaded.cpu_s / unloaded.admitted.count
        more_admitted = self.admitted.count - loaded.admitted.count
        return (self.cpu_s - loaded.cpu_s - price_s * more_admitted) / more * 1e6


def is_good(outcome: Outcome) -> bool:
    """Tell whether a request was answered right and in time."""
    found = outcome.response
    return found is not None and found.status == _OK and outcome.latency_s <= GOOD_WITHIN_S


def is_shed(outcome: Outcome) -> bool:
    """Tell whether a request was refused."""
    return outcome.response is not None and outcome.response.status in _REFUSALS


def cell(of: tuple[str, str, float], volley: Volley, seconds: float, cpu_s: float) -> Cell:
    """Return the figures of one run.

    Args:
        of: variant, connections and load.
        volley: what became of its requests.
        seconds: the schedule's length.
        cpu_s: processor time that server and proxy used.
    """
    outcomes = volley.outcomes
    good_ends = [one.shot.due_s + one.latency_s for one in outcomes if is_good(one)]
    admitted = [
        one.latency_s for one in outcomes if one.response is not None and one.response.status == _OK
    ]
    shed = [one.latency_s for one in outcomes if is_shed(one)]
    lag_p99_s = percentile(sorted(one.lag_s for one in outcomes), 0.99)
    return Cell(
        *of,
        offered_per_s=len(outcomes) / seconds,
        goodput_per_s=len(good_ends) / max(seconds, *good_ends, 0.0),
        admitted=percentiles(admitted),
        shed=percentiles(shed),
        failed=len(outcomes) - len(admitted) - len(shed),
        cpu_s=cpu_s,
        lag_p99_ms=lag_p99_s * 1e3,
        generator_cores=volley.cpu_s / max(volley.took_s, seconds),
        void=why_void(volley, lag_p99_s),
    )


def why_void(volley: Volley, lag_p99_s: float) -> str:
    """Return why a run says nothing; empty where it is good."""
    if volley.interrupted:
        return "interrupted"
    if volley.sent != len(volley.outcomes) or not volley.sent:
        return f"{volley.sent} requests were sent, {len(volley.outcomes)} ended"
    if lag_p99_s > LAG_MAX_S:
        return f"the generator was late: p99 {lag_p99_s * 1e3:.0f} ms"
    own = {one.failure for one in volley.outcomes} & OWN_LIMITS
    return f"the generator's own limits: {', '.join(sorted(own))}" if own else ""


def request(headers: Sequence[tuple[str, str]] = ()) -> bytes:
    """Return the bytes of the request that every client sends."""
    lines = ["GET /found HTTP/1.1", "Host: service", *(f"{name}: {text}" for name, text in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def poisson(
    rate: float, seconds: float, draw: random.Random, template: Shot | None = None
) -> list[Shot]:
    """Return requests that arrive independently of each other.

    Args:
        rate: their mean number per second, > 0.
        seconds: over how long.
        draw: the randomness.
        template: what each is like but for its due time; the plain request by default.
    """
    like = template or Shot(0.0, request())
    shots: list[Shot] = []
    due_s = draw.expovariate(rate)
    while due_s < seconds:
        shots.append(like._replace(due_s=due_s))
        due_s += draw.expovariate(rate)
    return shots
