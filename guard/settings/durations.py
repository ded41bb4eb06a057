"""Durations as people write them: ``250ms``, ``1.5s``, ``2m``, or bare seconds."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

_DURATION: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{0,12})?|\.[0-9]{1,12}) ?(ms|s|m|)")
_SECONDS: Final = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "": Decimal(1)}
_MINUTE: Final = Decimal(60)


def parse_duration(text: str) -> Decimal:
    """Return the seconds, exactly as written.

    Raises:
        ValueError: the text is no duration.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError("no duration")
    number, unit = found.groups()
    return Decimal(number) * _SECONDS[unit]


def format_duration(seconds: float) -> str:
    """Return the shortest text that ``parse_duration`` gives ``seconds`` back for.

    Args:
        seconds: >= 0, finite.
    """
    exact = Decimal(repr(seconds))
    if 0 < exact < 1:
        return f"{_plain(exact * 1000)}ms"
    if exact > 0 and exact % _MINUTE == 0:
        return f"{_plain(exact / _MINUTE)}m"
    return f"{_plain(exact)}s"


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
