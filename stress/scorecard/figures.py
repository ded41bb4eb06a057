"""Reads the number out of a verdict: bars are written alike, so one place can do it. Pure.

A bar with a number says ``what < 20 ms``, with one of ``<``, ``<=``, ``>=``, or ``within 3 s``;
what was reached begins with the figure, or names the median among others.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from stress.report import Verdict

_NUMBER: Final = r"([-+]?\d+(?:,\d{3})*(?:\.\d+)?)\s*(%|us\b|ms\b|s\b|x\b|)"
_LIMIT: Final = re.compile(rf"(<=?|>=)\s*{_NUMBER}")
_WITHIN: Final = re.compile(rf"(within) {_NUMBER}")
_MEDIAN: Final = re.compile(rf"\bmedian {_NUMBER}")
_FIRST: Final = re.compile(rf"^{_NUMBER}")
_UNITS: Final = {
    "us": ("time", 1e-6), "ms": ("time", 1e-3), "s": ("time", 1.0),
    "%": ("share", 0.01), "x": ("", 1.0), "": ("", 1.0),
}  # fmt: skip


class Figure(NamedTuple):
    """A figure and its bar as numbers.

    Attributes:
        value: what was reached, in seconds, as a share of 1, or a plain number.
        limit: the bar, the same way.
        more: more is better.
    """

    value: float
    limit: float
    more: bool


def read(verdict: Verdict) -> Figure | None:
    """Return a verdict's figure; None where it has no number, or not just one."""
    limits = [*_LIMIT.finditer(verdict.bar), *_time_limits(verdict.bar)]
    reached = _MEDIAN.search(verdict.reached) or _FIRST.search(verdict.reached)
    if len(limits) != 1 or reached is None:
        return None
    sign, *number = limits[0].groups()
    kind, limit = _quantity(*number)
    same, value = _quantity(*reached.groups())
    return Figure(value, limit, sign == ">=") if kind == same else None


def _time_limits(bar: str) -> list[re.Match[str]]:
    # "within 10 %" is a distance, and no limit of the figure.
    return [found for found in _WITHIN.finditer(bar) if _UNITS[found[3]][0] == "time"]


def _quantity(number: str, unit: str) -> tuple[str, float]:
    kind, scale = _UNITS[unit]
    return kind, float(number.replace(",", "")) * scale
