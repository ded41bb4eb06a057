"""A state that is only believed once it has lasted: so that a log has lines, and no flicker."""

from __future__ import annotations

from typing import NamedTuple


class Latch(NamedTuple):
    """What is believed, and since when the opposite is seen.

    Attributes:
        on: the believed state.
        changed_s: when that was first seen.
        doubted_s: since when without a break the opposite is seen; None while it is not.
    """

    on: bool = False
    changed_s: float = 0.0
    doubted_s: float | None = None


def observe(latch: Latch, *, seen: bool, now_s: float, rise_s: float, fall_s: float) -> Latch:
    """Return the latch after one look.

    It changes no more than once in ``min(rise_s, fall_s)``.

    Args:
        latch: the state before.
        seen: what is seen now.
        now_s: the time, not before any earlier one.
        rise_s: how long ``seen`` must last until it is believed, seconds, >= 0.
        fall_s: the same for the end of it.
    """
    if seen is latch.on:
        return latch if latch.doubted_s is None else latch._replace(doubted_s=None)
    doubted_s = now_s if latch.doubted_s is None else latch.doubted_s
    if now_s - doubted_s >= (rise_s if seen else fall_s):
        return Latch(seen, doubted_s)
    return latch._replace(doubted_s=doubted_s)
