"""The options of ``python -m stress simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - has no other name

SCORES = ("regret", "lost", "late")
"""What the search for the worst case looks for; ``stress.simulation.worst`` says what they are."""


def add(commands: _Commands, positive: Callable[[str], float], count: Callable[[str], int]) -> None:
    """Add the command and what it simulates.

    Args:
        commands: takes it.
        positive: reads a positive number.
        count: reads a positive whole number.
    """
    simulate = commands.add_parser("simulate", help="the guard's rules in virtual time")
    what = simulate.add_subparsers(dest="what", required=True)
    policies = what.add_parser("policies", help="beside other rules, over a table of situations")
    policies.add_argument("--situations", nargs="*", default=[], help="how their names begin")
    policies.add_argument("--policies", nargs="*", default=[], help="their names")
    fleet = what.add_parser("fleet", help="many hosts, one load")
    fleet.add_argument("--hosts", type=count, default=100)
    fleet.add_argument("--seconds", type=positive, default=2.0, help="length of each run")
    worst = what.add_parser("worst", help="search for the situation that goes worst")
    worst.add_argument("--cases", type=count, default=100, help="tried, from --seed on")
    worst.add_argument("--score", choices=SCORES, default=SCORES[0])
    worst.add_argument("--sized", action="store_true", help="queues as long as bursts need")
    check = what.add_parser("check", help="the simulation beside the real service")
    check.add_argument("--seconds", type=positive, default=5.0, help="length of each load")
    for command in (policies, fleet, worst, check):
        command.add_argument("--seed", type=int, default=1)
        command.add_argument("--out", type=Path, default=Path("stress-results"))
