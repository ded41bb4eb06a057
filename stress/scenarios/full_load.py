"""The whole load test that the incident was the beginning of."""

from __future__ import annotations

from typing import Final

from stress.arrivals import CREATE, NO_TERM, SEARCH, Stage
from stress.lab.bars import HONEST, answered_p99, goodput_kept, refused_p99, right_in_time
from stress.lab.description import EMPTY, Scenario
from stress.phases import Span

BEGINNING, RISE, PEAK, SEARCHES = "beginning", "rise", "peak of creates", "searches alone"

SCENARIO: Final = Scenario(
    name="full-load",
    shows="creates up to 1,000/s and searches up to 1,000/s: far more than two cores can do",
    plan={
        CREATE: (Stage(10, 2, 2), Stage(15, 5, 5), Stage(300, 4, 1000)),
        SEARCH: (Stage(75, 10, 10), Stage(600, 8, 1000)),
        NO_TERM: (Stage(45, 8, 8), Stage(300, 6, 400)),
    },
    phases={
        BEGINNING: Span(0, 75), RISE: Span(75, 200), PEAK: Span(200, 345),
        SEARCHES: Span(345, 675),
    },
    environments=EMPTY,
    bars=(
        *HONEST,
        right_in_time(0.99, BEGINNING),
        right_in_time(0.99, RISE),
        goodput_kept(0.8, PEAK, RISE),
        goodput_kept(0.8, SEARCHES, RISE),
        answered_p99(500.0),
        refused_p99(100.0),
    ),
    time_scale=0.08,
)  # fmt: skip
