"""What the book is compared with: books that tell every client the same."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guard.core.vocabulary import Lane


class Told:
    """Tells everybody the same: a constant, or an outage's true remaining time.

    Args:
        seconds: gives what is told.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds

    def appoint(self, _lane: Lane, _not_before_s: float, *, outage: bool) -> int:  # noqa: ARG002
        """Return whole seconds >= 1."""
        return max(1, ceil(self._seconds()))

    def look(self, _bounds_per_s: Mapping[Lane, float]) -> None:
        """Learn nothing."""
