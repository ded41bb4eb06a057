"""A result against the last one that was kept: better, the same or worse. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from stress.scorecard import figures
from stress.scorecard.model import State

if TYPE_CHECKING:
    from stress.report import Verdict
    from stress.scorecard.figures import Figure
    from stress.scorecard.model import Claim, Result

FLOOR: Final = 0.05
"""A difference below this share of the bar is noise, however small the figures are."""


class Word(StrEnum):
    """How a figure has changed, the worst first."""

    WORSE = "worse"
    BETTER = "better"
    SAME = "same"
    NONE = "not comparable"


class Change(NamedTuple):
    """How one bar's figure has changed.

    Attributes:
        word: better, the same or worse.
        ratio: the figure over the last one; None where there is no such number.
        before: the last figure; None where it had no number.
    """

    word: Word
    ratio: float | None = None
    before: Figure | None = None


class Trend(NamedTuple):
    """How a claim has changed.

    Attributes:
        word: of its bars' words the worst that there is.
        changes: by bar, those that stand in both results.
        why: why it can't be compared; empty where it can.
        caution: what makes the comparison doubtful; empty where nothing does.
    """

    word: Word
    changes: dict[str, Change]
    why: str = ""
    caution: str = ""


def trend(claim: Claim, now: Result, before: Result | None) -> Trend:
    """Compare a result with an earlier one of the same form.

    Args:
        claim: whose results they are; says what is noise.
        now: the new one.
        before: the last one, or None.
    """
    why = _incomparable(now, before)
    if before is None or why:
        return Trend(Word.NONE, {}, why)
    there = {one.bar: one for one in before.verdicts}
    changes = {
        one.bar: change(one, there[one.bar], claim.noise)
        for one in now.verdicts
        if one.bar in there
    }
    words = {one.word for one in changes.values()}
    word = next((one for one in Word if one in words), Word.NONE)
    cautions = {
        "another machine": before.origin.machine != now.origin.machine,
        "disturbed by others": now.disturbed,
        "the last one was disturbed by others": before.disturbed,
    }
    return Trend(word, changes, caution=", ".join(text for text, true in cautions.items() if true))


def _incomparable(now: Result, before: Result | None) -> str:
    if before is None:
        return "the first run"
    if now.command != before.command:
        return f"the last run was python -m {before.command}"
    said_nothing = {State.VOID, State.NOT_RUN}
    if now.state in said_nothing:
        return f"now {now.state}"
    return f"the last run: {before.state}" if before.state in said_nothing else ""


def change(now: Verdict, before: Verdict, noise: float) -> Change:
    """Compare what one bar reached with what it reached before.

    Args:
        now: the new one.
        before: the last one, of the same bar.
        noise: the factor up to which nothing is said to have changed, > 1.
    """
    new, old = figures.read(now), figures.read(before)
    if new is None or old is None:
        # Without numbers there is only whether it was reached.
        flipped = Word.BETTER if now.met else Word.WORSE
        return Change(Word.SAME if now.met is before.met else flipped, before=old)
    ratio = new.value / old.value if old.value > 0 and new.value > 0 else None
    small = abs(new.value - old.value) <= FLOOR * abs(new.limit)
    if small or (ratio is not None and 1 / noise <= ratio <= noise):
        return Change(Word.SAME, ratio, old)
    gained = (new.value > old.value) is new.more
    return Change(Word.BETTER if gained else Word.WORSE, ratio, old)
