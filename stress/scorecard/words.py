"""A result in words: what is said of it in short. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from stress.scorecard.model import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stress.report import Verdict
    from stress.scorecard.model import Claim, Result


class Told(NamedTuple):
    """One figure that is told even in short.

    Attributes:
        text: the figure with its label, or its whole bar.
        verdict: where it comes from.
    """

    text: str
    verdict: Verdict


def told(claim: Claim, result: Result) -> list[Told]:
    """Return the figures of a result that are told in short.

    Those that the claim always shows, by their labels; then every other one that was missed, by
    its bar. A void run has none.
    """
    if not result.has_figures:
        return []
    labels = {
        one.bar: label
        for label, start in claim.shown
        for one in result.verdicts
        if one.bar.startswith(start)
    }
    shown = [one for one in result.verdicts if one.bar in labels]
    missed = [one for one in result.verdicts if one.bar not in labels and not one.met]
    return [
        *(Told(f"{labels[one.bar]} {one.reached}", one) for one in shown),
        *(Told(f"{one.bar}: {one.reached}", one) for one in missed),
    ]


def state(result: Result) -> str:
    """Return its state, and why where it has no figures."""
    return f"{result.state}: {result.why}" if result.why else str(result.state)


def counted(results: Sequence[Result]) -> str:
    """Return how many there are of each state, those that fall short first."""
    counts = [(sum(one.state is each for one in results), each) for each in State]
    return ", ".join(f"{count} {each}" for count, each in counts if count)
