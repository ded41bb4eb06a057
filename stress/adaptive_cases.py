"""Databases for which fewer connections help, and for which the search for them costs."""

from __future__ import annotations

from typing import Final

from stress.adaptive_sim import Case
from stress.simulation.database import slowing

_BASE_S: Final = 0.01


LOOKUPS: Final = slowing(2, (2484 / 1743 - 1) / 38, _BASE_S)
"""DuckDB's look-ups, as measured on two cores: 1,337/s in 1 thread, 2,484 in 2, 1,743 in 40; the
rates here are a twelfth of that."""
_THRASHING: Final = slowing(4, 0.25, _BASE_S)
_STEADY: Final = slowing(8, 0.0, 0.02)


def _alternating(busy: int, at_s: float) -> float:
    return _STEADY(busy, at_s) * (1.0 if at_s % 10 < 5 else 2.0)  # noqa: PLR2004 - half of ten


def _recovering(busy: int, at_s: float) -> float:
    return _THRASHING(busy, at_s) if at_s < 60 else _STEADY(busy, at_s) / 2  # noqa: PLR2004


CASES: Final = (
    Case("look-ups", "DuckDB's look-ups on 2 cores, pool of 40", LOOKUPS, 40, 400),
    Case("look-ups, pool of 8", "the same, pool of 8", LOOKUPS, 8, 400),
    Case("thrashing", "4 cores, each query more slows all by 25 %", _THRASHING, 32, 800),
    Case("4 workers", "the same behind 4 workers of 8", _THRASHING, 8, 800, workers=4),
    Case("steady", "8 connections x 20 ms, at 2x", _STEADY, 8, 800),
    Case("steady at half", "the same, at 0.5x", _STEADY, 8, 200),
    Case("core-bound", "2 cores, more gain and lose nothing", slowing(2, 0.0, _BASE_S), 8, 400),
    Case("alternating", "8 x 20 ms and 8 x 40 ms, by turns of 5 s", _alternating, 8, 800),
    Case("recovering", "thrashing for 60 s, then 8 x 10 ms", _recovering, 8, 1600, length_s=180.0),
)
"""All cases, in the order of the table."""
