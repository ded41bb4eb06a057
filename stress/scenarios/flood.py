"""One client asks for more than everybody else together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from stress.lab.bars import HONEST, answered_p99, back_within, right_in_time
from stress.lab.course import AFTER, BEFORE, DURING, usual
from stress.lab.description import LIMITED, Scenario
from stress.lab.plans import mix
from stress.phases import Span

if TYPE_CHECKING:
    from stress.lab.course import Course
    from stress.lab.description import Order
    from stress.result import Run

OTHERS, FLOOD = "the others in the flood", "the flood"


def _of(run: Run, *, flooding: bool) -> Run:
    samples = [one for one in run.samples if bool(one.source) is flooding]
    return replace(run, samples=samples, sent=len(samples))


def _course(scenario: Scenario, order: Order) -> Course:
    found = usual(scenario, order)
    during = found.parts[DURING]
    apart = {OTHERS: _of(during, flooding=False), FLOOD: _of(during, flooding=True)}
    return replace(found, parts={**found.parts, **apart})


SCENARIO: Final = Scenario(
    name="flood",
    shows="one client asks for ten times as much as sixteen others together; they get through",
    plan=mix((26, 50, 50)),
    clients={"127.0.1.1": mix((6, 0, 0), (10, 500, 500))},
    phases={BEFORE: Span(0, 6), DURING: Span(6, 16), AFTER: Span(16, 26)},
    environments={backend: one.but(GUARD_FAIRNESS="address") for backend, one in LIMITED.items()},
    bars=(
        *HONEST,
        right_in_time(0.99, BEFORE),
        right_in_time(0.95, OTHERS),
        answered_p99(500.0, OTHERS),
        back_within(3.0),
    ),
    course=_course,
)
