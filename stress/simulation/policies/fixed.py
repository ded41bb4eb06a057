"""No limit, and one that somebody has set."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from stress.simulation.policies.base import Limiter

if TYPE_CHECKING:
    from stress.simulation.policies.base import Site


def unlimited(site: Site) -> Limiter:
    """Return what admits everybody; its queue has no end."""
    return Limiter(site, sys.maxsize)


def static(site: Site) -> Limiter:
    """Return a limit of twice the pool: as many again may wait as are served."""
    return Limiter(site, 2 * site.pool)
