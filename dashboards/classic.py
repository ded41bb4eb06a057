"""Grafana's classic dashboard (schema version 42), for every import dialogue and provisioning."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as model

from dashboards import grafana_file as shared
from dashboards.model import Look
from dashboards.sections import SECTIONS

if TYPE_CHECKING:
    from dashboards.model import Panel

_HEIGHT: Final = 8
_SOURCE: Final = common.DataSourceRef("prometheus", shared.DATA_SOURCE)


def build() -> model.Dashboard:
    """Return the dashboard."""
    page = (
        dashboard.Dashboard(shared.TITLE)
        .uid(shared.UID)
        .description(shared.DESCRIPTION)
        .tags(list(shared.TAGS))
        .readonly()
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .time(shared.SINCE, "now")
        .refresh(shared.REFRESH)
        .annotations([])
        .variables([_data_source(), *map(_variable, shared.VARIABLES)])
    )
    ids = count(1)
    for section in SECTIONS:
        page.with_row(dashboard.Row(section.question).id(next(ids)))
        for panel in section.panels:
            page.with_panel(_panel(panel).id(next(ids)))
    return page.build()


def _data_source() -> dashboard.DatasourceVariable:
    variable = dashboard.DatasourceVariable("datasource")
    return variable.label("Data source").type("prometheus")


def _variable(one: shared.Variable) -> dashboard.QueryVariable:
    variable = (
        dashboard.QueryVariable(one.name)
        .label(one.label)
        .query(one.query)
        .definition(one.query)
        .datasource(_SOURCE)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)  # noqa: FBT003 - the builder's own form
        .include_all(True)  # noqa: FBT003
        .current(model.VariableOption(selected=True, text="All", value=shared.ALL))
    )
    return variable.all_value(one.all_value) if one.all_value else variable


def _panel(panel: Panel) -> stat.Panel | timeseries.Panel:
    drawn = _answer(panel) if panel.look is Look.ANSWER else _lines(panel)
    for index, query in enumerate(panel.queries):
        drawn.with_target(
            prometheus.Dataquery()
            .ref_id(shared.ref_id(index))
            .datasource(_SOURCE)
            .expr(query.expr)
            .legend_format(query.legend)
            .range()
        )
    return (
        drawn.title(panel.title)
        .description(panel.help)
        .datasource(_SOURCE)
        .span(panel.width)
        .height(_HEIGHT)
    )


def _lines(panel: Panel) -> timeseries.Panel:
    drawn = timeseries.Panel()
    shared.draw(drawn, panel)
    return drawn


def _answer(panel: Panel) -> stat.Panel:
    steps = [model.Threshold(value=step.value, color=step.color) for step in panel.steps]
    colors = dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)
    return stat.Panel().unit(panel.unit).thresholds(colors).reduce_options(shared.last_value())
