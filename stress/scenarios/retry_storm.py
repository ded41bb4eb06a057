"""Refused clients come back: some at once, some when they were told to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from stress.lab.bars import (
    SENT,
    UNTROUBLED,
    goodput_kept,
    refused_p99,
    right_in_time,
    served_in_the_end,
)
from stress.lab.course import AFTER, ALL, BEFORE, DURING, Course, usual
from stress.lab.description import Scenario
from stress.lab.plans import mix
from stress.load import Retry
from stress.phases import Span

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stress.lab.description import Order

AT_ONCE, AS_TOLD = "at once", "as told"

_CLIENTS: Final[Mapping[str, Retry]] = {
    AT_ONCE: Retry(4, obeys=False),
    AS_TOLD: Retry(5, obeys=True),
}


def _course(scenario: Scenario, order: Order) -> Course:
    found = {
        label: usual(replace(scenario, retry=retry), order) for label, retry in _CLIENTS.items()
    }
    return Course(
        runs={label: one.parts[ALL] for label, one in found.items()},
        parts={
            f"{label}, {phase}": run
            for label, one in found.items()
            for phase, run in one.parts.items()
        },
        troubles=[line for one in found.values() for line in one.troubles],
        facts={
            f"{label}: {name}": told
            for label, one in found.items()
            for name, told in one.facts.items()
        },
    )


SCENARIO: Final = Scenario(
    name="retry-storm",
    shows="a spike of 4 s whose clients repeat at once, and one whose clients obey Retry-After",
    plan=mix((6, 50, 50), (4, 250, 250), (20, 50, 50)),
    phases={BEFORE: Span(0, 6), DURING: Span(6, 10), AFTER: Span(14, 30)},
    retry=_CLIENTS[AT_ONCE],
    patience_s=2.0,
    bars=(
        SENT,
        UNTROUBLED,
        goodput_kept(1.5, f"{AT_ONCE}, {DURING}", f"{AT_ONCE}, {BEFORE}"),
        refused_p99(100.0, f"{AT_ONCE}, {DURING}"),
        right_in_time(0.95, f"{AT_ONCE}, {AFTER}"),
        goodput_kept(1.5, f"{AS_TOLD}, {DURING}", f"{AS_TOLD}, {BEFORE}"),
        refused_p99(100.0, f"{AS_TOLD}, {DURING}"),
        served_in_the_end(0.98, f"{AS_TOLD}, {ALL}"),
    ),
    course=_course,
)
