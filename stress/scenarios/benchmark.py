"""The public benchmark that the service was written for."""

from __future__ import annotations

from typing import Final

from stress.arrivals import CREATE, NO_TERM, SEARCH, Stage
from stress.lab.bars import HONEST, answered_p99, as_expected, right_in_time
from stress.lab.description import EMPTY, Scenario

SCENARIO: Final = Scenario(
    name="benchmark",
    shows="the public benchmark: creates up to 600/s with their look-ups, searches up to 100/s",
    plan={
        CREATE: (Stage(10, 2, 2), Stage(15, 5, 5), Stage(180, 6, 600)),
        SEARCH: (Stage(25, 2, 2), Stage(180, 6, 100)),
        NO_TERM: (Stage(25, 2, 2), Stage(180, 6, 40)),
    },
    environments=EMPTY,
    bars=(*HONEST, as_expected(), right_in_time(0.99), answered_p99(500.0)),
    time_scale=0.25,
)
