"""A scenario as it is asked for, carried out and told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stress.lab.bars import judge
from stress.lab.course import usual
from stress.lab.description import Guard, Order
from stress.report import Report
from stress.result import summarise
from stress.server import ServerError

if TYPE_CHECKING:
    from argparse import Namespace

    from stress.lab.course import Course
    from stress.lab.description import Scenario

_NOTES_MAX: Final = 20


def ordered(scenario: Scenario, options: Namespace) -> Order:
    """Return what is asked for, with the scenario's defaults.

    Args:
        scenario: which.
        options: ``backend``, ``guard``, ``time_scale``, each of which may be None, and ``seed``.

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


def file_name(scenario: Scenario, order: Order) -> str:
    """Return what the files of its report are called, without an ending."""
    ending = "" if order.guard is Guard.ON else f"-{order.guard}"
    return f"scenario-{scenario.name}-{order.backend}{ending}"


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
