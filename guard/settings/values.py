"""From a text, or a value given in code, to a checked value of the setting's type, and back."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal, get_origin, get_type_hints

from guard.settings.durations import format_duration, parse_duration
from guard.settings.forms import Unfit, fit
from guard.settings.model import Settings

if TYPE_CHECKING:
    from guard.settings.model import Spec

_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,15}")
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]{1,15}(?:\.[0-9]{0,15})?|\.[0-9]{1,15})")
_SWITCHES: Final = {
    "true": True, "yes": True, "on": True, "1": True,
    "false": False, "no": False, "off": False, "0": False,
}  # fmt: skip
_TOO_LARGE: Final = 10**15
"""As long as the longest text; no larger number goes into a float in any case."""
_NO_FRACTION: Final = "a Retry-After with a fraction makes urllib3's clients crash"


class Shape(StrEnum):
    """How a setting's value is written."""

    TEXT = "text"
    WORD = "word"
    SWITCH = "switch"
    LIST = "list"
    WHOLE = "whole number"
    NUMBER = "number"
    DURATION = "duration"
    WHOLE_SECONDS = "whole seconds"


@cache
def _types() -> dict[str, Any]:
    return get_type_hints(Settings)


def shape_of(field: str, spec: Spec) -> Shape:
    """Return how the values of a field are written."""
    kind = _types()[field]
    if spec.choices:
        return Shape.WORD
    if get_origin(kind) is tuple:
        return Shape.LIST
    if kind is bool:
        return Shape.SWITCH
    if kind is int:
        return Shape.WHOLE_SECONDS if spec.unit == "seconds" else Shape.WHOLE
    if kind is float:
        return Shape.DURATION if spec.unit == "seconds" else Shape.NUMBER
    return Shape.TEXT


def convert(field: str, spec: Spec, raw: object) -> object:
    """Return the checked value; texts are read, other values must have the field's type.

    Raises:
        Unfit: it can't be used; says what would be allowed.
    """
    shape = shape_of(field, spec)
    if shape is Shape.WORD:
        return _word(field, spec, raw)
    if shape is Shape.LIST:
        return _list(spec, raw)
    if shape is Shape.SWITCH:
        return _switch(raw)
    if shape is Shape.TEXT:
        if not isinstance(raw, str):
            raise Unfit("must be a text")
        return fit(spec.form, raw)
    return _number(shape, spec, raw)


def _word(field: str, spec: Spec, raw: object) -> object:
    word = raw.strip().lower() if isinstance(raw, str) else None
    if word not in spec.choices:
        raise Unfit(f"must be one of {', '.join(spec.choices)}")
    kind = _types()[field]
    return word if get_origin(kind) is Literal else kind(word)


def _switch(raw: object) -> bool:
    value = _SWITCHES.get(raw.strip().lower()) if isinstance(raw, str) else raw
    if not isinstance(value, bool):
        raise Unfit("must be true or false")
    return value


def _list(spec: Spec, raw: object) -> tuple[str, ...]:
    parts = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(parts, (list, tuple)) or not all(isinstance(part, str) for part in parts):
        raise Unfit("must be texts")
    return tuple(fit(spec.form, part.strip()) for part in parts if part.strip())


def _number(shape: Shape, spec: Spec, raw: object) -> float:
    text = _limits(shape, spec)
    if isinstance(raw, str):
        value = _read(shape, raw, text)
    elif isinstance(raw, (int, float)) and not isinstance(raw, bool) and abs(raw) < _TOO_LARGE:
        value = raw
    else:
        raise Unfit(text)
    if shape in {Shape.WHOLE, Shape.WHOLE_SECONDS} and value != int(value):
        raise Unfit(text, _NO_FRACTION if shape is Shape.WHOLE_SECONDS else "")
    if (spec.low is not None and value < spec.low) or (spec.high is not None and value > spec.high):
        raise Unfit(text)
    return int(value) if shape in {Shape.WHOLE, Shape.WHOLE_SECONDS} else float(value)


def _read(shape: Shape, raw: str, text: str) -> float:
    if shape in {Shape.DURATION, Shape.WHOLE_SECONDS}:
        try:
            exact = parse_duration(raw)
        except ValueError:
            raise Unfit(text) from None
        return int(exact) if exact == int(exact) else float(exact)
    pattern = _WHOLE if shape is Shape.WHOLE else _DECIMAL
    if pattern.fullmatch(raw) is None:
        raise Unfit(text)
    return int(raw) if shape is Shape.WHOLE else float(raw)


def _limits(shape: Shape, spec: Spec) -> str:
    between = range_of(shape, spec)
    within = f" from {between}" if between else ""
    if shape is Shape.DURATION:
        return f"must be a duration{within}, such as 250ms, 1.5s or 2m"
    unit = f" of {spec.unit}" if spec.unit not in {"", "ratio"} else ""
    what = "number" if shape is Shape.NUMBER else "whole number"
    return f"must be a {what}{unit}{within}"


def range_of(shape: Shape, spec: Spec) -> str:
    """Return ``low to high`` as people write it; an empty string without a range."""
    if shape is Shape.SWITCH:
        return "true or false"
    if spec.low is None or spec.high is None:
        return ""
    if shape is Shape.DURATION:
        return f"{format_duration(spec.low)} to {format_duration(spec.high)}"
    return f"{spec.low:.12g} to {spec.high:.12g}"


def text_of(field: str, spec: Spec, value: object) -> str:
    """Return the text that ``convert`` gives ``value`` back for."""
    shape = shape_of(field, spec)
    if shape is Shape.SWITCH:
        return "true" if value else "false"
    if shape is Shape.LIST and isinstance(value, tuple):
        return ",".join(value) or ("," if spec.form == "path" else "")
    if shape is Shape.DURATION and isinstance(value, float):
        return format_duration(value)
    if shape is Shape.NUMBER and isinstance(value, float):
        # Never with an exponent, which is not read back.
        return f"{value:.12f}".rstrip("0").rstrip(".")
    return str(value)
