"""The usual load with a million warriors there."""

from __future__ import annotations

from typing import Final

from stress.arrivals import CREATE, LOOK_UP, SEARCH
from stress.lab.bars import HONEST, answered_p99, no_failures, right_in_time
from stress.lab.course import ALL
from stress.lab.description import Environment, Scenario
from stress.lab.plans import mix

SCENARIO: Final = Scenario(
    name="million-rows",
    shows="a million warriors: a search looks at all of them, creates and look-ups don't notice",
    plan=mix((30, 25, 25)),
    environments={
        "duckdb": Environment(rows=1_000_000), "postgres": Environment(rows=1_000_000),
    },
    bars=(
        *HONEST,
        no_failures(),
        right_in_time(0.99, ALL, {CREATE, LOOK_UP}, "creates and look-ups"),
        answered_p99(200.0, ALL, {CREATE, LOOK_UP}),
        right_in_time(0.95, ALL, {SEARCH}, "searches"),
    ),
)  # fmt: skip
