"""A query that has become slow, and more and more of it."""

from __future__ import annotations

from typing import Final

from stress.arrivals import CREATE, SEARCH, Stage
from stress.lab.bars import HONEST, answered_p99, back_within, no_failures, right_in_time
from stress.lab.course import AFTER, BEFORE, DURING
from stress.lab.description import Environment, Scenario
from stress.phases import Span

_WITHOUT_INDEX: Final = ("DROP INDEX warriors_search_text",)

SCENARIO: Final = Scenario(
    name="slow-query",
    shows="searches that look at 200,000 rows, at 5/s and then at 120/s; creates don't notice",
    plan={
        CREATE: (Stage(30, 20, 20),),
        SEARCH: (Stage(6, 5, 5), Stage(10, 120, 120), Stage(14, 5, 5)),
    },
    phases={BEFORE: Span(0, 6), DURING: Span(6, 16), AFTER: Span(16, 30)},
    environments={
        "duckdb": Environment(rows=200_000),
        "postgres": Environment(rows=200_000, statements=_WITHOUT_INDEX),
    },
    bars=(
        *HONEST,
        right_in_time(0.99, BEFORE),
        right_in_time(0.99, DURING, {CREATE}, "creates"),
        answered_p99(500.0, DURING, {CREATE}),
        answered_p99(1000.0, DURING, {SEARCH}),
        no_failures(),
        back_within(3.0),
        right_in_time(0.95, AFTER),
    ),
)
