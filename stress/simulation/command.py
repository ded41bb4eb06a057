"""``python -m stress simulate``: which simulation is meant."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Final

from stress.quiet import only_from

if TYPE_CHECKING:
    from argparse import Namespace

_SIMULATIONS: Final = {
    "policies": "stress.simulation.comparison",
    "fleet": "stress.simulation.fleet",
    "worst": "stress.simulation.worst",
    "check": "stress.simulation.check",
}


def run(options: Namespace) -> int:
    """Run a simulation; return 1 where a bar was missed.

    Args:
        options: ``what``, and what that one takes.
    """
    # A breaker that opens in virtual time is nothing to warn of.
    with only_from(logging.CRITICAL):
        status: int = import_module(_SIMULATIONS[options.what]).run(options)
    return status
