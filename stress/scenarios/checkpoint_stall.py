"""DuckDB writes its log into the file, and everybody's commit waits for it."""

from __future__ import annotations

from typing import Final

from stress.arrivals import CREATE, LARGE, LOOK_UP, SEARCH, Stage
from stress.lab.bars import HONEST, answered_p99, no_failures, right_in_time
from stress.lab.description import Environment, Scenario

SCENARIO: Final = Scenario(
    name="checkpoint-stall",
    shows="long warriors fill DuckDB's log, a checkpoint every few seconds: nobody waits long",
    plan={
        LARGE: (Stage(36, 25, 25),),
        CREATE: (Stage(36, 20, 20),),
        SEARCH: (Stage(36, 10, 10),),
    },
    environments={"duckdb": Environment(rows=100_000)},
    bars=(
        *HONEST,
        right_in_time(0.99, kinds={LARGE, CREATE}, whose="creates"),
        right_in_time(0.99, kinds={LOOK_UP, SEARCH}, whose="reads"),
        answered_p99(500.0),
        no_failures(),
    ),
)
