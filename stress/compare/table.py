"""The comparison for people: its table, its bars, its plots."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from stress.compare.cell import CONNECTIONS
from stress.compare.grid import LOADED, UNLOADED
from stress.compare.variants import GUARD
from stress.report import Verdict, svg

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from stress.compare.cell import Cell
    from stress.result import Percentiles

SHARE_LEAST: Final = 0.95
SHARE_LOADS: Final = (1.0, 2.0, 5.0)
SHED_P50_MS, SHED_P99_MS = 2.0, 20.0
SHED_LOADS: Final = (2.0, 5.0)
TIMES_UNLOADED_MAX: Final = 3.0
PROXIES: Final = ("nginx", "haproxy")
"""What the names of variants with a proxy begin with."""


class Cells:
    """All cells of a comparison, found by what they are.

    Args:
        cells: in the order in which they were measured.
    """

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._cells = cells

    @property
    def variants(self) -> list[str]:
        """The names of the variants, in the order of their first cells."""
        return list(dict.fromkeys(one.variant for one in self._cells))

    @property
    def loads(self) -> list[float]:
        """The loads, ascending."""
        return sorted({one.load for one in self._cells})

    def get(self, variant: str, connections: str, load: float) -> Cell | None:
        """Return a cell, or None where it was not measured."""
        wanted = (variant, connections, load)
        return next(
            (one for one in self._cells if (one.variant, one.connections, one.load) == wanted), None
        )

    def unloaded(self, cell: Cell) -> Cell:
        """Return the cell of the same variant and connections without overload, or itself."""
        return self.get(cell.variant, cell.connections, UNLOADED) or cell

    def cpu_per_refusal_us(self, cell: Cell) -> float:
        """Return what a refusal costs in a cell, microseconds; NaN where that is not known."""
        loaded = self.get(cell.variant, cell.connections, LOADED)
        if loaded is None or cell.load <= loaded.load:
            return math.nan
        return cell.cpu_per_refusal_us(loaded, self.unloaded(cell))

    def lines(self) -> list[str]:
        """Return the table, loads together so that the variants stand side by side."""
        lines: list[str] = []
        for connections in CONNECTIONS:
            lines += ["", f"{connections} connections", _HEAD]
            for load in self.loads:
                found = [self.get(name, connections, load) for name in self.variants]
                lines += [self._line(one) for one in found if one is not None]
                lines.append("")
        return lines

    def _line(self, one: Cell) -> str:
        unloaded = self.unloaded(one)
        times = one.times_unloaded(unloaded) if unloaded is not one else math.nan
        return (
            f"{one.load:>4g}x {one.variant:<13}{one.offered_per_s:>7.0f}{one.goodput_per_s:>8.0f}"
            f"{one.capacity_share:>7.0%} {_pair(one.admitted):>15}{_told(times, '.1f'):>6}"
            f"{one.shed.count:>7} {_pair(one.shed):>14}{one.failed:>7}"
            f"{_told(self.cpu_per_refusal_us(one), '.0f'):>9}{one.lag_p99_ms:>6.1f}"
            f"{'  VOID: ' + one.void if one.void else ''}"
        )


_HEAD: Final = (
    f"load  {'variant':<13}{'sent/s':>7}{'good/s':>8}{'of cap':>7} {'admitted p50/99':>15}"
    f"{'x':>6}{'shed':>7} {'shed p50/99':>14}{'failed':>7}{'us/shed':>9}{'lag':>6}"
)


def _pair(latency: Percentiles) -> str:
    return f"{latency.p50:.1f}/{latency.p99:.1f}" if latency.count else "-"


def _told(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)


def verdicts(cells: Cells) -> list[Verdict]:
    """Return the guard's bars, those that were tried."""
    bars: list[Verdict] = []
    for connections in CONNECTIONS:
        for load in cells.loads:
            one = cells.get(GUARD, connections, load)
            if one is not None:
                bars += _bars(cells, one)
    return bars


def _bars(cells: Cells, one: Cell) -> list[Verdict]:
    what = f"{one.load:g}x, {one.connections}"
    if one.void:
        return [Verdict(f"{what}: measured", one.void, met=False, void=True)]
    bars = []
    if one.load in SHARE_LOADS:
        bars.append(
            Verdict(
                f"{what}: goodput >= {SHARE_LEAST:.0%} of the capacity",
                f"{one.capacity_share:.1%}",
                one.capacity_share >= SHARE_LEAST,
            )
        )
    if one.load > UNLOADED:
        bars += _against_proxies(cells, one, what)
        times = one.times_unloaded(cells.unloaded(one))
        met = times < TIMES_UNLOADED_MAX
        bars.append(Verdict(f"{what}: admitted p99 < 3x its unloaded", f"{times:.1f}x", met))
    if one.load in SHED_LOADS:
        shed = one.shed
        bars.append(
            Verdict(
                f"{what}: refusals p50 < {SHED_P50_MS:g} ms, p99 < {SHED_P99_MS:g} ms",
                f"{shed.p50:.1f} and {shed.p99:.1f} ms",
                shed.p50 < SHED_P50_MS and shed.p99 < SHED_P99_MS,
            )
        )
    return bars


def _against_proxies(cells: Cells, one: Cell, what: str) -> list[Verdict]:
    rivals = [
        found
        for name in cells.variants
        if name.startswith(PROXIES)
        and (found := cells.get(name, one.connections, one.load)) is not None
        and not found.void
    ]
    if not rivals:
        return []
    best = max(rivals, key=lambda rival: rival.goodput_per_s)
    told = f"{one.goodput_per_s:.0f}/s against {best.goodput_per_s:.0f}/s of {best.variant}"
    met = one.goodput_per_s >= best.goodput_per_s
    return [Verdict(f"{what}: goodput at or above the proxies", told, met)]


def plots(cells: Cells) -> str:
    """Return an SVG element: each figure over the load, a line per variant."""
    figures: list[tuple[str, Callable[[Cell], float], bool]] = [
        ("goodput, of the capacity", lambda one: one.capacity_share, False),
        ("admitted p99, ms", lambda one: one.admitted.p99, True),
        ("refusals p99, ms", lambda one: one.shed.p99, True),
        ("CPU per refusal, us", cells.cpu_per_refusal_us, True),
    ]

    def draw(figure: Figure) -> None:
        axes = figure.subplots(len(figures), len(CONNECTIONS), sharex=True, sharey="row")
        for row, (label, value, logarithmic) in zip(axes, figures, strict=True):
            for place, connections in zip(row, CONNECTIONS, strict=True):
                place.set_title(f"{label}: {connections}")
                place.set_xscale("log")
                place.set_xticks(cells.loads, [f"{load:g}x" for load in cells.loads])
                place.minorticks_off()
                drawn = [_line(place, cells, name, connections, value) for name in cells.variants]
                if logarithmic and any(drawn):
                    place.set_yscale("log")
        axes[0][0].legend(loc="lower left")

    return svg(draw)


def _line(
    place: Axes, cells: Cells, name: str, connections: str, value: Callable[[Cell], float]
) -> bool:
    found = [cells.get(name, connections, load) for load in cells.loads]
    points = [(one.load, value(one)) for one in found if one is not None and not one.void]
    there = [(load, height) for load, height in points if height > 0]  # NaN is not
    place.plot([load for load, _ in there], [height for _, height in there], "o-", label=name)
    return bool(there)
