"""``python -m stress scenario``: one scenario, run and told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stress import report
from stress.lab.bars import judge
from stress.lab.course import usual
from stress.lab.description import Guard, Order
from stress.report import Report
from stress.result import summarise
from stress.scenarios import NAMES, find
from stress.server import ServerError

if TYPE_CHECKING:
    from argparse import Namespace

    from stress.lab.course import Course
    from stress.lab.description import Scenario

_NOTES_MAX: Final = 20


def run(options: Namespace) -> int:
    """Run a scenario, print and write its report; return 1 where a bar was missed.

    Args:
        options: ``list``, ``name``, ``backend``, ``guard``, ``time_scale``, ``seed``, ``out``.

    Raises:
        ServerError: there is no such scenario, or not on this backend.
    """
    if options.list:
        print("\n".join(listed()))
        return 0
    if options.name not in NAMES:
        raise ServerError(f"the scenarios are {', '.join(NAMES)}; --list tells what they show")
    scenario = find(options.name)
    order = ordered(scenario, options)
    told, course = carry_out(scenario, order)
    print(told.text())
    ending = "" if order.guard is Guard.ON else f"-{order.guard}"
    name = f"scenario-{scenario.name}-{order.backend}{ending}"
    for path in report.write(told, course.runs, options.out, name):
        print(f"written: {path}")
    return 0 if told.met else 1


def listed() -> list[str]:
    """Return a line for each scenario: its name, what it shows, and on which databases."""
    scenarios = [find(name) for name in NAMES]
    width = max(map(len, NAMES))
    return [
        f"{one.name:<{width}}  {one.shows} ({', '.join(one.environments)})" for one in scenarios
    ]


def ordered(scenario: Scenario, options: Namespace) -> Order:
    """Return what is asked for, with the scenario's defaults.

    Raises:
        ServerError: the scenario does not run on this backend, or with this guard.
    """
    backend = options.backend or next(iter(scenario.environments))
    if backend not in scenario.environments:
        raise ServerError(f"{scenario.name} runs on {', '.join(scenario.environments)} only")
    guard = Guard(options.guard) if options.guard else scenario.guards[0]
    if guard not in scenario.guards:
        raise ServerError(f"{scenario.name} runs with the guard {', '.join(scenario.guards)} only")
    scale = options.time_scale or scenario.time_scale
    return Order(backend, guard, scale, options.seed)


def carry_out(scenario: Scenario, order: Order) -> tuple[Report, Course]:
    """Run a scenario; return what is told of it, and what came of it.

    With the guard off or in shadow mode only what is asked of any service is a bar; what else
    is asked of a guarded one is told as a figure.

    Raises:
        ServerError: the service did not start.
        OSError: a mishap could not be made.
    """
    course = (scenario.course or usual)(scenario, order)
    guarded = order.guard is Guard.ON
    asked = [one for one in scenario.bars if guarded or one.always]
    beside = judge((one for one in scenario.bars if one not in asked), course)
    told = Report(
        f"{scenario.name} on {order.backend}, guard {order.guard}, time scale "
        f"{order.time_scale:g}, seed {order.seed}: {scenario.shows}",
        {label: summarise(found) for label, found in course.parts.items()},
        judge(asked, course),
        {**course.facts, **{f"no bar here: {one.bar}": one.reached for one in beside}},
        list(course.troubles)[:_NOTES_MAX],
    )
    return told, course
