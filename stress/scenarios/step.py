"""The load grows to several times what can be served, and stays there."""

from __future__ import annotations

from typing import Final

from stress.lab.bars import (
    HONEST,
    answered_p99,
    goodput_kept,
    no_failures,
    refused_p99,
    right_in_time,
)
from stress.lab.course import BEFORE
from stress.lab.description import Scenario
from stress.lab.plans import mix
from stress.phases import Span

FIRST, LAST = "the step's first third", "its last third"

SCENARIO: Final = Scenario(
    name="step",
    shows="six times the load, for good: what is served does not decay with time",
    plan=mix((6, 50, 50), (24, 300, 300)),
    phases={BEFORE: Span(0, 6), FIRST: Span(6, 14), LAST: Span(22, 30)},
    bars=(
        *HONEST,
        right_in_time(0.99, BEFORE),
        goodput_kept(2.0, FIRST),
        goodput_kept(0.9, LAST, FIRST),
        answered_p99(500.0, LAST),
        refused_p99(100.0, LAST),
        no_failures(),
    ),
)
