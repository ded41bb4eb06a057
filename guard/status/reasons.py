"""Why one request was refused, in a sentence with the numbers that decided. Pure."""

from __future__ import annotations

from math import isinf
from typing import TYPE_CHECKING

from guard.core.vocabulary import Reason

if TYPE_CHECKING:
    from guard.board import Refusal


def why(refusal: Refusal) -> str:
    """Return the sentence, without a full stop."""
    tell = {
        Reason.POOL_SATURATED: _saturated,
        Reason.THREADS_EXHAUSTED: _threads,
        Reason.QUEUE_DELAY: _delay,
        Reason.DEADLINE: _deadline,
    }.get(refusal.reason)
    if tell is not None:
        return tell(refusal)
    return {
        Reason.BREAKER_OPEN: "the breaker was open",
        Reason.LOW_PRIORITY: _part(refusal, "kept for higher classes"),
        Reason.UNFAIR_SHARE: _part(refusal, "kept for clients that ask for less"),
        Reason.DRAINING: "the worker was going away",
        Reason.STARTING: "the database was not open yet",
    }.get(refusal.reason, "")


def _saturated(refusal: Refusal) -> str:
    if isinf(refusal.wait_s):
        return "the pool had no working connection"
    if not refusal.slots:
        return f"admitted, and then got no connection in time ({refusal.unfinished} unfinished)"
    queued = refusal.unfinished - refusal.slots
    figures = f"{refusal.unfinished} unfinished on {refusal.slots}, held {_ms(refusal.hold_s)} each"
    if refusal.wait_s > refusal.budget_s:
        return f"predicted wait {_ms(refusal.wait_s)} > budget {_ms(refusal.budget_s)} ({figures})"
    if queued >= refusal.waiters_max:
        return f"the queue was full: {queued} of {refusal.waiters_max} waiting ({figures})"
    return f"the pool was over its threshold ({figures})"


def _part(refusal: Refusal, what: str) -> str:
    left = refusal.slots + refusal.waiters_max - refusal.unfinished
    return f"the {left} places that were left, or the rest of the wait budget, are {what}"


def _threads(refusal: Refusal) -> str:
    return f"{refusal.in_flight} of {refusal.permits_max} permits were held"


def _delay(refusal: Refusal) -> str:
    total = refusal.age_s + refusal.wait_s
    return (
        f"a queue stood, and age {_ms(refusal.age_s)} + wait {_ms(refusal.wait_s)} = {_ms(total)} "
        f"> half the budget, {_ms(refusal.budget_s / 2)}"
    )


def _deadline(refusal: Refusal) -> str:
    return (
        f"age {_ms(refusal.age_s)} + wait {_ms(refusal.wait_s)} + hold {_ms(refusal.hold_s)} was "
        "past the deadline"
    )


def _ms(seconds: float) -> str:
    milliseconds = 1000 * seconds
    return f"{milliseconds:.0f} ms" if milliseconds >= 10 else f"{milliseconds:.1f} ms"  # noqa: PLR2004 - two digits
