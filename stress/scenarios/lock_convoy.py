"""A lock in PostgreSQL behind which every write queues."""

from __future__ import annotations

from typing import Final

from stress.arrivals import CREATE
from stress.lab.bars import HONEST, back_within, refused_p99, right_in_time
from stress.lab.course import AFTER, BEFORE, DURING
from stress.lab.description import Environment, Mishap, Scenario
from stress.lab.mishaps import lock_writes
from stress.lab.plans import mix
from stress.phases import KINDS_OF_LANE

SCENARIO: Final = Scenario(
    name="lock-convoy",
    shows="the table is locked against writes for 8 s: writes are refused, reads don't notice",
    plan=mix((28, 60, 60)),
    mishaps=(Mishap("lock", 6, 8, lock_writes),),
    environments={"postgres": Environment()},
    # A write waits at most four budgets, and the first ones can't be told that they wait in vain.
    bars=(
        *HONEST,
        right_in_time(0.99, BEFORE),
        right_in_time(0.99, DURING, KINDS_OF_LANE["read"], "reads"),
        refused_p99(1100.0, DURING),
        back_within(3.0),
        right_in_time(0.95, AFTER, {CREATE}, "creates"),
    ),
)
