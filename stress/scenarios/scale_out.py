"""The same load on one, two, four and eight workers."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from stress.lab.bars import SENT, UNTROUBLED, answered_p99, goodput_kept, right_in_time
from stress.lab.course import Course, decisions, drive, world
from stress.lab.description import LIMITED, Scenario
from stress.lab.plans import mix

if TYPE_CHECKING:
    from stress.lab.description import Order
    from stress.result import Run

WORKERS: Final = (1, 2, 4, 8)


def _label(workers: int) -> str:
    return f"with {workers} worker{'s' if workers > 1 else ''}"


def _course(scenario: Scenario, order: Order) -> Course:
    environment = scenario.environments[order.backend]
    runs: dict[str, Run] = {}
    facts: dict[str, str] = {}
    troubles: list[str] = []
    for workers in WORKERS:
        label = _label(workers)
        with world(environment.but(GUARD_WORKERS=str(workers)), order) as made, made.server:
            runs[label], _ = drive(made, scenario, order)
            facts |= {f"{label}, {name}": told for name, told in decisions(made).items()}
            troubles += made.server.troubles()
    return Course(runs=runs, parts=runs, troubles=troubles, facts=facts)


_FIRST, *_, _LAST = WORKERS

SCENARIO: Final = Scenario(
    name="scale-out",
    shows="more than one worker's connections can do, on 1, 2, 4 and 8 workers: goodput follows",
    plan=mix((3, 20, 350), (10, 350, 350)),
    environments={"postgres": LIMITED["postgres"]},
    bars=(
        SENT,
        UNTROUBLED,
        *(goodput_kept(1.4, _label(more), _label(fewer)) for fewer, more in pairwise(WORKERS[:3])),
        goodput_kept(3.0, _label(_LAST), _label(_FIRST)),
        right_in_time(0.95, _label(_LAST)),
        *(answered_p99(500.0, _label(workers)) for workers in WORKERS),
    ),
    course=_course,
)
