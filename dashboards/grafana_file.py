"""What both forms of Grafana's file have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, Self

from grafana_foundation_sdk.builders import common
from grafana_foundation_sdk.models import common as kinds

from dashboards.model import Look

if TYPE_CHECKING:
    from dashboards.model import Panel

UID: Final = "guard"
TITLE: Final = "Guard"
DESCRIPTION: Final = (
    "Overload protection: one row per question. The coloured number at the left of a row is the "
    "short answer. What each panel means and which variable to turn stands behind its (i)."
)
TAGS: Final = ("guard", "backpressure")
SINCE: Final = "now-30m"
REFRESH: Final = "10s"
ALL: Final = "$__all"
DATA_SOURCE: Final = "${datasource}"


class Variable(NamedTuple):
    """A variable whose values Prometheus tells.

    Attributes:
        name: as queries call it.
        label: as people see it.
        query: gives its values.
        all_value: what "all" stands for; empty for exactly the values that are offered.
    """

    name: str
    label: str
    query: str
    all_value: str


# Only the info metric has the label ``backend``. So the backend narrows the instances that are
# offered, and "all" must stand for those that are offered, not for every one there is.
VARIABLES: Final = (
    Variable("job", "Job", "label_values(guard_workers, job)", ".+"),
    Variable(
        "backend", "Backend", 'label_values(guard_backend_info{job=~"$job"}, backend)', ".+"
    ),
    Variable(
        "instance", "Instance",
        'label_values(guard_backend_info{job=~"$job", backend=~"$backend"}, instance)', "",
    ),
)  # fmt: skip


class Lines(Protocol):
    """The builder of a panel with lines, of either form."""

    def unit(self, unit: str, /) -> Self: ...  # noqa: D102
    def min(self, min_val: float, /) -> Self: ...  # noqa: D102
    def max(self, max_val: float, /) -> Self: ...  # noqa: D102
    def fill_opacity(self, fill_opacity: float, /) -> Self: ...  # noqa: D102
    def stacking(self, stacking: common.StackingConfig, /) -> Self: ...  # noqa: D102
    def tooltip(self, tooltip: common.VizTooltipOptions, /) -> Self: ...  # noqa: D102
    def legend(self, legend: common.VizLegendOptions, /) -> Self: ...  # noqa: D102


def draw(lines: Lines, panel: Panel) -> None:
    """Give a panel with lines its looks."""
    lines.unit(panel.unit).min(0).tooltip(
        common.VizTooltipOptions()
        .mode(kinds.TooltipDisplayMode.MULTI)
        .sort(kinds.SortOrder.DESCENDING)
    )
    lines.legend(
        common.VizLegendOptions()
        .show_legend(True)  # noqa: FBT003 - the builder's own form
        .display_mode(kinds.LegendDisplayMode.LIST)
        .placement(kinds.LegendPlacement.BOTTOM)
    )
    if panel.top is not None:
        lines.max(panel.top)
    if panel.look is Look.STACKED:
        stacked = common.StackingConfig().mode(kinds.StackingMode.NORMAL)
        lines.stacking(stacked).fill_opacity(40)


def last_value() -> common.ReduceDataOptions:
    """Return how an answer becomes one number: the last one that there is."""
    return common.ReduceDataOptions().calcs(["lastNotNull"])


def ref_id(index: int) -> str:
    """Return the name of a panel's query, A to Z."""
    return chr(ord("A") + index)
