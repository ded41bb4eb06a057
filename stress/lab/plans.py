"""Plans that several scenarios have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stress.arrivals import MIX, Stage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def mix(*stages: tuple[float, float, float]) -> Mapping[str, Sequence[Stage]]:
    """Return a plan of the incident's peak mix.

    Args:
        stages: each its length in seconds and its users per second at its beginning and at its
            end, look-ups not counted.
    """
    return {
        kind: tuple(Stage(seconds, first * share, last * share) for seconds, first, last in stages)
        for kind, share in MIX.items()
    }
