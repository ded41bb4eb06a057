"""What is compared: each makes the policies of a host's workers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from guard.core.vocabulary import QueueOrder, RetryPolicy
from stress.simulation.policies.fixed import static, unlimited
from stress.simulation.policies.guarded import Host, Setup
from stress.simulation.policies.netflix import Aimd, Gradient2, Vegas

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stress.simulation.policies.base import Policy, Site

    Maker = Callable[[Site], Sequence[Policy]]

GUARD: Final = "guard"
ADAPTIVE: Final = "guard, adaptive"
NEWEST_FIRST: Final = "guard, newest first"
BY_LOT: Final = "guard, by lot"
FITTED_TIMEOUT_S: Final = 0.1
"""AIMD's time-out where somebody has fitted it to a service of 20 ms."""


def each(make: Callable[[Site], Policy]) -> Maker:
    """Return what makes the same policy for every worker, each on its own."""
    return lambda site: [make(site) for _ in range(site.workers)]


def guarded(setup: Setup) -> Maker:
    """Return what sets the guard up."""
    return lambda site: Host(site, setup).policies


POLICIES: Final[Mapping[str, Maker]] = {
    "none": each(unlimited),
    "static": each(static),
    "gradient2": each(Gradient2),
    "gradient2, per answer": each(partial(Gradient2, least=1, window_s=0.0)),
    "vegas": each(Vegas),
    "aimd": each(Aimd),
    "aimd, fitted": each(partial(Aimd, least=1, timeout_s=FITTED_TIMEOUT_S)),
    GUARD: guarded(Setup()),
    ADAPTIVE: guarded(Setup(adaptive=True)),
    NEWEST_FIRST: guarded(Setup(order=QueueOrder.ADAPTIVE)),
    BY_LOT: guarded(Setup(retry=RetryPolicy.SPREAD)),
}
"""By name, in the tables' order. Gradient2 judges a second's answers together, as its documentation
shows it; "per answer" judges each by itself, with a smallest limit of 1 instead of 20. The fitted
AIMD has that too, and a time-out of 0.1 s instead of 5. The guard's variants are
``GUARD_ADAPTIVE``, ``GUARD_QUEUE_ORDER=adaptive`` and ``GUARD_RETRY_AFTER_POLICY=spread``."""
