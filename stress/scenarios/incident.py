"""The incident's load, with a guarded service this time."""

from __future__ import annotations

from typing import Final

from stress.arrivals import INCIDENT
from stress.incident import P95_MS, P99_MS
from stress.lab.bars import HONEST, answered_p95, answered_p99, as_expected
from stress.lab.description import EMPTY, Scenario

SCENARIO: Final = Scenario(
    name="incident",
    shows="the load under which 87 % of the requests were refused, answered whole",
    plan=INCIDENT,
    environments=EMPTY,
    bars=(*HONEST, as_expected(), answered_p95(P95_MS), answered_p99(P99_MS)),
)
