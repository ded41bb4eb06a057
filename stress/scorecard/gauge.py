"""A figure beside its bar as a small SVG. Pure."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from stress.scorecard.figures import Figure

_WIDTH, _HEIGHT = 220, 22
_LEFT, _RIGHT = 6, 214
_TRACK_Y, _TRACK_HEIGHT = 8, 6
_END: Final = 2.0
"""Where the scale ends, over the bar; what is beyond is drawn there as an arrow."""


def gauge(now: Figure, before: Figure | None, text: str, *, met: bool) -> str:
    """Return an SVG element: the side of the bar that passes, the figure, and the last one.

    The scale is linear from 0 to twice the bar.

    Args:
        now: the figure.
        before: the last one, drawn hollow; None where there is none.
        text: what it says, for those who can't see it.
        met: colours the figure.
    """
    bar_x = _x(now.limit, now.limit)
    from_x, to_x = (bar_x, _RIGHT) if now.more else (_LEFT, bar_x)
    parts = [
        _rect(_LEFT, _RIGHT, "track"),
        _rect(from_x, to_x, "passes"),
        f'<line class="bar" x1="{bar_x:.1f}" x2="{bar_x:.1f}" y1="3" y2="19"/>',
    ]
    if before is not None:
        parts.append(_mark(before, now.limit, "before"))
    parts.append(_mark(now, now.limit, "met" if met else "missed"))
    title = html.escape(text)
    return (
        f'<svg class="gauge" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{title}"><title>{title}</title>{"".join(parts)}</svg>'
    )


def _x(value: float, limit: float) -> float:
    # A bar of 0 or below, such as a gain's, has no such scale; then its place is the middle.
    share = value / (_END * limit) if limit > 0 else 0.5 + (value - limit) / 2
    return _LEFT + (_RIGHT - _LEFT) * min(max(share, 0.0), 1.0)


def _rect(from_x: float, to_x: float, kind: str) -> str:
    return (
        f'<rect class="{kind}" x="{from_x:.1f}" width="{to_x - from_x:.1f}" y="{_TRACK_Y}" '
        f'height="{_TRACK_HEIGHT}" rx="3"/>'
    )


def _mark(figure: Figure, limit: float, kind: str) -> str:
    x, y = _x(figure.value, limit), _TRACK_Y + _TRACK_HEIGHT / 2
    if limit > 0 and figure.value > _END * limit:
        points = f"{x - 5:.1f},{y - 6} {x + 5:.1f},{y} {x - 5:.1f},{y + 6}"
        return f'<polygon class="{kind}" points="{points}"/>'
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y}" r="5"/>'
