"""The README's table of claims and figures, made from the kept scorecard. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.errors import GuardError
from stress.scorecard import words
from stress.scorecard.model import Form, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stress.scorecard.model import Claim, Result, Scorecard

BEGIN: Final = "<!-- scorecard: made by `python -m stress scorecard --readme` -->"
END: Final = "<!-- scorecard: end -->"

_HEAD: Final = ("| claim | command | bar | measured |", "|---|---|---|---|")


class Unmarked(GuardError):  # noqa: N818 - says what is wrong
    """A page has not exactly one place for the table."""


def placed(page: str, card: Scorecard, claims: Sequence[Claim]) -> str:
    """Return a page with the table, made anew, between its marks.

    Raises:
        Unmarked: the page has no marks, or more than one pair.
    """
    before, begin, rest = page.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in after:
        raise Unmarked(f"there must be one {BEGIN} and one {END} behind it")
    return f"{before}{BEGIN}\n{table(card, claims)}\n{END}{after}"


def unknown(card: Scorecard, claims: Sequence[Claim]) -> list[str]:
    """Return the names under which figures are kept and that no claim has."""
    names = {claim.name for claim in claims}
    return sorted({one.claim for one in card.results} - names)


def table(card: Scorecard, claims: Sequence[Claim]) -> str:
    """Return the table, a row per claim; a figure says of which form and day it is."""
    rows = [
        _row(claim, [found for form in (Form.LONG, Form.SHORT)
                     if (found := card.find(claim.name, form)) is not None])
        for claim in claims
    ]  # fmt: skip
    return "\n".join([*_HEAD, *rows])


def _row(claim: Claim, results: Sequence[Result]) -> str:
    measured = "<br>".join(_told(claim, one) for one in results) or "not yet"
    cells = (claim.text, f"`python -m {claim.command.long}`", claim.bar, measured)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _told(claim: Claim, result: Result) -> str:
    run = f"{result.form}, {result.origin.date}"
    if result.command != claim.command.arguments(result.form):
        run += f" by `python -m {result.command}`"
    if result.disturbed:
        run += f", while others took {result.others_cores:.1f} cores"
    if not result.has_figures:
        return f"{run}: **{words.state(result)}**"
    state = "met" if result.state is State.MET else "**missed**"
    figures = [
        one.text if one.verdict.met else f"**{one.text}**" for one in words.told(claim, result)
    ]
    beside = "".join(f" ({name}: {fact})" for name, fact in result.beside.items())
    return f"{run}: {state}; {', '.join(figures)}{beside}"
