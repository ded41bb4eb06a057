"""Two ways of doing the same thing, measured in turns: the ratio of each pair. Pure."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from stress.report import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence


class Ratios(NamedTuple):
    """Ratios of rates, one per round.

    Attributes:
        values: they, in the order of the rounds; at least one.
    """

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return median(self.values)

    def text(self) -> str:
        """Return least, middle and greatest."""
        return (
            f"min {min(self.values):.2f}, median {self.median:.2f}, max {max(self.values):.2f} "
            f"in {len(self.values)} rounds"
        )

    def verdict(self, what: str, least: float) -> Verdict:
        """Return the bar that the median be at least ``least``."""
        return Verdict(f"{what} >= {least:g}", self.text(), self.median >= least)


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Ratios:
    """Return ours over theirs, round by round.

    Raises:
        ValueError: not as many of one as of the other, or none.
    """
    if not ours:
        raise ValueError("there was no round")
    return Ratios(tuple(one / other for one, other in zip(ours, theirs, strict=True)))
