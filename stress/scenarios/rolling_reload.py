"""Three reloads under load."""

from __future__ import annotations

from typing import Final

from stress.lab.bars import (
    HONEST,
    answered_p99,
    no_failures,
    refused_because,
    right_in_time,
    served_in_the_end,
)
from stress.lab.course import AFTER, BEFORE, DURING
from stress.lab.description import EMPTY, Mishap, Scenario
from stress.lab.mishaps import reload
from stress.lab.plans import mix
from stress.load import Retry

SCENARIO: Final = Scenario(
    name="rolling-reload",
    shows="three reloads under load: nobody's request is lost, whoever is refused is served later",
    plan=mix((32, 60, 60)),
    mishaps=tuple(Mishap("reload", at_s, 5, reload) for at_s in (5, 11, 17)),
    environments=EMPTY,
    retry=Retry(4, obeys=True),
    bars=(
        *HONEST,
        right_in_time(0.99, BEFORE),
        no_failures(),
        refused_because({"starting"}),
        served_in_the_end(0.999),
        answered_p99(2000.0, DURING),
        right_in_time(0.99, AFTER),
    ),
)
