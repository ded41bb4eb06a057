"""``python -m stress scenario``: one scenario, or all of them, run and told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stress import report
from stress.lab import every
from stress.lab.execution import carry_out, file_name, ordered
from stress.scenarios import NAMES, find
from stress.server import ServerError

if TYPE_CHECKING:
    from argparse import Namespace

EVERY: Final = "all"


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
    if options.name == EVERY:
        return every.run(options)
    if options.name not in NAMES:
        names = ", ".join((EVERY, *NAMES))
        raise ServerError(f"the scenarios are {names}; --list tells what they show")
    scenario = find(options.name)
    order = ordered(scenario, options)
    told, course = carry_out(scenario, order)
    print(told.text())
    for path in report.write(told, course.runs, options.out, file_name(scenario, order)):
        print(f"written: {path}")
    return 0 if told.met else 1


def listed() -> list[str]:
    """Return a line for each scenario: its name, what it shows, and on which databases."""
    scenarios = [find(name) for name in NAMES]
    width = max(map(len, NAMES))
    return [
        f"{one.name:<{width}}  {one.shows} ({', '.join(one.environments)})" for one in scenarios
    ]
