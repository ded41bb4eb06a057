"""Bodies as large as the service takes them, and larger ones."""

from __future__ import annotations

from typing import Final

from stress.arrivals import CREATE, LARGE, LOOK_UP, NO_TERM, SEARCH, TOO_LONG, Stage
from stress.lab.bars import HONEST, answered_p99, as_expected, right_in_time
from stress.lab.course import DURING
from stress.lab.description import EMPTY, Scenario
from stress.lab.plans import mix
from stress.phases import Span

_USUAL: Final = frozenset({CREATE, LOOK_UP, SEARCH, NO_TERM})

SCENARIO: Final = Scenario(
    name="large-bodies",
    shows="warriors of 5 kB, and bodies of 66 to 200 kB that are refused unread; others don't wait",
    plan={
        **mix((26, 60, 60)),
        LARGE: (Stage(6, 0, 0), Stage(14, 20, 20)),
        TOO_LONG: (Stage(6, 0, 0), Stage(14, 20, 20)),
    },
    phases={"before": Span(0, 6), DURING: Span(6, 20), "after": Span(20, 26)},
    environments=EMPTY,
    bars=(
        *HONEST,
        as_expected(kinds={LARGE}),
        as_expected(kinds={TOO_LONG}),
        right_in_time(0.99, DURING, _USUAL, "usual requests"),
        answered_p99(200.0, DURING, _USUAL),
    ),
)
