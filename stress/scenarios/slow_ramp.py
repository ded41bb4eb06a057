"""The load grows slowly, through the capacity and far beyond it."""

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
from stress.lab.description import Scenario
from stress.lab.plans import mix
from stress.phases import Span

QUARTERS: Final = ("first quarter", "second quarter", "third quarter", "last quarter")

SCENARIO: Final = Scenario(
    name="slow-ramp",
    shows="from a tenth to several times the capacity in 40 s: the curve goes flat, not down",
    plan=mix((40, 20, 420)),
    phases={
        label: Span(10.0 * number, 10.0 * (number + 1)) for number, label in enumerate(QUARTERS)
    },
    bars=(
        *HONEST,
        right_in_time(0.9, QUARTERS[0]),
        goodput_kept(0.9, QUARTERS[3], QUARTERS[2]),
        goodput_kept(0.9, QUARTERS[3], QUARTERS[1]),
        answered_p99(500.0, QUARTERS[3]),
        refused_p99(100.0, QUARTERS[3]),
        no_failures(),
    ),
)
