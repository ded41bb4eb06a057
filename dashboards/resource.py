"""Grafana's dashboard as a resource of its v2 API, for GitOps and Grafana's own tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders import dashboardv2, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboardv2 as model

from dashboards import grafana_file as shared
from dashboards.model import Look
from dashboards.sections import SECTIONS

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.resource import Manifest

    from dashboards.model import Panel, Query, Section

_COLUMNS_MAX: Final = 3


def build() -> Manifest:
    """Return the resource."""
    page = (
        dashboardv2.Dashboard(shared.TITLE)
        .description(shared.DESCRIPTION)
        .tags(list(shared.TAGS))
        .editable(False)  # noqa: FBT003 - the builder's own form
        .cursor_sync(model.DashboardCursorSync.CROSSHAIR)
        .time_settings(
            dashboardv2.TimeSettings().from_val(shared.SINCE).to("now").auto_refresh(shared.REFRESH)
        )
        .variables([_data_source(), *map(_variable, shared.VARIABLES)])
    )
    panels = [panel for section in SECTIONS for panel in section.panels]
    names = {panel.title: f"panel-{number}" for number, panel in enumerate(panels, start=1)}
    for number, panel in enumerate(panels, start=1):
        page.element(names[panel.title], _panel(panel).id(number))
    page.layout(dashboardv2.Rows().rows([_row(section, names) for section in SECTIONS]))
    return dashboardv2.manifest(shared.UID, page).build()


def _row(section: Section, names: dict[str, str]) -> dashboardv2.Row:
    grid = dashboardv2.AutoGrid().max_column_count(_COLUMNS_MAX)
    for panel in section.panels:
        grid.with_item(names[panel.title])
    return dashboardv2.Row().title(section.question).layout(grid)


def _data_source() -> dashboardv2.DatasourceVariable:
    variable = dashboardv2.DatasourceVariable("datasource")
    return variable.label("Data source").plugin_id("prometheus")


def _variable(one: shared.Variable) -> dashboardv2.QueryVariable:
    variable = (
        dashboardv2.QueryVariable(one.name)
        .label(one.label)
        .query(_Values(one.query))
        .definition(one.query)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)  # noqa: FBT003
        .include_all(True)  # noqa: FBT003
        .current(model.VariableOption(selected=True, text="All", value=shared.ALL))
    )
    return variable.all_value(one.all_value) if one.all_value else variable


class _Values(Builder[model.DataQueryKind]):
    """The query of a variable, for which the SDK has no builder."""

    def __init__(self, query: str) -> None:
        self._query = query

    def build(self) -> model.DataQueryKind:
        return model.DataQueryKind(
            group="prometheus",
            datasource=_source().build(),
            spec={"query": self._query, "refId": "values"},
        )


def _source() -> dashboardv2.Dashboardv2DataQueryKindDatasource:
    return dashboardv2.Dashboardv2DataQueryKindDatasource().name(shared.DATA_SOURCE)


def _panel(panel: Panel) -> dashboardv2.Panel:
    group = dashboardv2.QueryGroup()
    for index, query in enumerate(panel.queries):
        group.target(_target(index, query))
    return (
        dashboardv2.Panel()
        .title(panel.title)
        .description(panel.help)
        .data(group)
        .visualization(_answer(panel) if panel.look is Look.ANSWER else _lines(panel))
    )


def _target(index: int, query: Query) -> dashboardv2.Target:
    asked = (
        prometheus.QueryV2()
        .version("v0")
        .datasource(_source())
        .expr(query.expr)
        .legend_format(query.legend)
        .range(True)  # noqa: FBT003
    )
    return dashboardv2.Target().ref_id(shared.ref_id(index)).query(asked)


def _lines(panel: Panel) -> timeseries.VisualizationV2:
    drawn = timeseries.VisualizationV2()
    shared.draw(drawn, panel)
    return drawn


def _answer(panel: Panel) -> stat.VisualizationV2:
    steps = [model.Threshold(value=step.value, color=step.color) for step in panel.steps]
    colors = dashboardv2.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)
    return (
        stat.VisualizationV2()
        .unit(panel.unit)
        .thresholds(colors)
        .reduce_options(shared.last_value())
    )
