"""The dashboard's rows as pictures, drawn from what a Prometheus knows; no Grafana needed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from matplotlib.figure import Figure

from dashboards.model import Look

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matplotlib.axes import Axes

    from dashboards.model import Panel, Query, Section
    from stress.prometheus import Prometheus

_COLUMNS: Final = 3
_PANEL_INCHES: Final = (5.2, 2.8)
_LEGEND_MAX: Final = 12
_POINTS: Final = 200
_UNITS: Final = {"percentunit": "share", "reqps": "1/s", "cps": "1/s", "s": "s", "short": "count"}


class Span(NamedTuple):
    """What time is drawn.

    Attributes:
        since_s: from when on, Unix time.
        until_s: until when.
        rate_interval: the range of rates, four scrapes or more.
    """

    since_s: float
    until_s: float
    rate_interval: str

    @property
    def step_s(self) -> int:
        """The time between two points."""
        return max(1, round((self.until_s - self.since_s) / _POINTS))


def draw(prometheus: Prometheus, section: Section, span: Span, file: Path) -> None:
    """Write one row of the dashboard as a PNG.

    Args:
        prometheus: what is asked.
        section: the row.
        span: the time.
        file: where it goes; its folder must exist.
    """
    figure = _row(section)
    for axes, panel in zip(figure.axes, section.panels, strict=True):
        for query in panel.queries:
            found = prometheus.ask(
                "query_range",
                query=query.plain(span.rate_interval),
                start=span.since_s,
                end=span.until_s,
                step=span.step_s,
            )
            _series(axes, panel, query, found["result"], span.since_s)
        _finish(axes, panel)
    figure.savefig(file)


def _row(section: Section) -> Figure:
    lines = -(-len(section.panels) // _COLUMNS)
    width, height = _PANEL_INCHES
    figure = Figure(figsize=(width * _COLUMNS, height * lines + 0.4), layout="constrained")
    figure.suptitle(section.question)
    for index in range(len(section.panels)):
        figure.add_subplot(lines, _COLUMNS, index + 1)
    return figure


def _series(
    axes: Axes, panel: Panel, query: Query, found: list[dict[str, Any]], since_s: float
) -> None:
    for series in found:
        points = series["values"]
        axes.plot(
            [at - since_s for at, _ in points],
            [float(value) for _, value in points],
            label=_name(query.legend, series["metric"]),
            linewidth=2.5 if panel.look is Look.ANSWER else 1.2,
        )


def _name(legend: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"{{(\w+)}}", lambda hit: labels.get(hit[1], ""), legend)


def _finish(axes: Axes, panel: Panel) -> None:
    axes.set_title(f"{panel.title} ({_UNITS.get(panel.unit, panel.unit)})", fontsize=9)
    axes.set_ylim(bottom=0)
    axes.tick_params(labelsize=7)
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        axes.legend(handles[:_LEGEND_MAX], labels[:_LEGEND_MAX], fontsize=6, loc="upper left")
