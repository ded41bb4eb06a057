"""The command line: ``python -m stress --help``."""

from __future__ import annotations

import signal
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from guard.errors import GuardError
from service.postgres_binaries import NoPostgres
from stress.options import parser
from stress.prometheus import NoPrometheus
from stress.server import ServerError

if TYPE_CHECKING:
    from collections.abc import Sequence


_SCENARIOS = {
    "scenario": "stress.lab.command",
    "incident": "stress.incident",
    "overload": "stress.overload",
    "group-commit": "stress.group_commit",
    "overhead": "stress.overhead",
    "gil": "stress.gil",
    "compare": "stress.compare.command",
    "metrics-cost": "stress.metrics_cost",
    "search-scale": "stress.search_scale",
    "stampede": "stress.stampede",
    "outage": "stress.outage",
    "failover": "stress.failover",
    "growth": "stress.growth",
    "chaos": "stress.chaos",
    "fault": "stress.faults.command",
    "durability": "stress.durability",
    "soak": "stress.soak",
    "observe": "stress.observe",
    "board-kills": "stress.board_kills",
    "scrapes": "stress.scrapes",
    "page-pictures": "stress.page_pictures",
    "adaptive": "stress.adaptive",
    "fuzz": "stress.fuzz",
    "mutation-score": "stress.mutation_score",
    "simulate": "stress.simulation.command",
    "scorecard": "stress.scorecard.command",
    "cache": "stress.cache",
    "jobs": "stress.jobs",
    "migrate": "stress.migrate",
}
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one scenario; return the exit status: 0, or 1 where a bar was missed.

    Where it can't be run there is one line on stderr and the status 2.
    """
    options = parser().parse_args(arguments)
    try:
        status: int = import_module(_SCENARIOS[options.command]).run(options)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except ModuleNotFoundError as error:
        print(f"stress: {error.name} is missing: pip install 'wsgi-guard[stress]'", file=sys.stderr)
        return 2
    except (ServerError, GuardError, NoPostgres, NoPrometheus, OSError) as error:
        print(f"stress: {error}", file=sys.stderr)
        return 2
    return status


if __name__ == "__main__":
    # Who ends it from outside wants the same as by Ctrl-C: nothing is left running.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
