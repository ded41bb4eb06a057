"""Ten times the usual load for a while, and then the usual load again."""

from __future__ import annotations

from typing import Final

from stress.lab.bars import (
    HONEST,
    answered_p99,
    back_within,
    goodput_kept,
    no_failures,
    refused_p99,
    right_in_time,
)
from stress.lab.course import AFTER, BEFORE, DURING
from stress.lab.description import Scenario
from stress.lab.plans import mix
from stress.phases import Span

SCENARIO: Final = Scenario(
    name="spike",
    shows="ten times the load for 8 s: more is served than before, and nobody waits long",
    plan=mix((8, 50, 50), (8, 500, 500), (14, 50, 50)),
    phases={BEFORE: Span(0, 8), DURING: Span(8, 16), AFTER: Span(16, 30)},
    bars=(
        *HONEST,
        right_in_time(0.99, BEFORE),
        goodput_kept(2.0),
        answered_p99(500.0, DURING),
        refused_p99(100.0, DURING),
        no_failures(DURING),
        back_within(3.0),
        right_in_time(0.95, AFTER),
    ),
)
