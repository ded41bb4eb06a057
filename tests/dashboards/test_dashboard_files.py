"""Grafana's files: current, readable, and in line with the rules of Grafana's dashboard-linter."""

from __future__ import annotations

import json

import pytest
from dashboard_help import classic, selectors
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from grafana_foundation_sdk.models.dashboardv2 import Dashboard as DashboardV2

from dashboards import __main__ as program
from dashboards.model import MATCHERS
from dashboards.sections import SECTIONS

PANELS = [panel for section in SECTIONS for panel in section.panels]
QUERIES = [pytest.param(query, id=panel.title) for panel in PANELS for query in panel.queries]
UNITS = {"percentunit", "short", "s", "reqps", "cps"}
RANGE = "1234s"


def shown() -> list[dict]:
    return [panel for panel in classic()["panels"] if panel["type"] != "row"]


@pytest.mark.parametrize("name", program.FILES)
def test_the_committed_file_is_current(name):
    assert (program.FOLDER / name).read_text(encoding="utf-8") == program.text(name)


def test_the_command_tells_a_stale_file_and_mends_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(program, "FOLDER", tmp_path)
    assert program.main(["--check"]) == 1
    assert "guard.json is stale" in capsys.readouterr().err
    assert program.main([]) == 0
    assert program.main(["--check"]) == 0
    (tmp_path / "guard.v2.json").write_text("{}")
    assert program.main(["--check"]) == 1


def test_grafanas_own_types_read_back_what_was_written():
    register_default_plugins()
    again = Dashboard.from_json(classic())
    assert json.loads(json.dumps(again, cls=JSONEncoder)) == classic()
    assert classic()["schemaVersion"] == 42


def test_a_misspelt_key_would_be_found():
    register_default_plugins()
    broken = classic() | {"refersh": "10s"}
    assert json.loads(json.dumps(Dashboard.from_json(broken), cls=JSONEncoder)) != broken


def test_the_resource_shows_the_same_panels_in_the_same_rows():
    document = json.loads((program.FOLDER / "guard.v2.json").read_text())
    register_default_plugins()
    DashboardV2.from_json(document["spec"])
    assert document["apiVersion"] == "dashboard.grafana.app/v2"
    elements = document["spec"]["elements"]
    rows = [
        (
            row["spec"]["title"],
            [
                elements[item["spec"]["element"]["name"]]["spec"]["title"]
                for item in row["spec"]["layout"]["spec"]["items"]
            ],
        )
        for row in document["spec"]["layout"]["spec"]["rows"]
    ]
    assert rows == [
        (section.question, [panel.title for panel in section.panels]) for section in SECTIONS
    ]
    asked = {
        query["spec"]["query"]["spec"]["expr"]
        for element in elements.values()
        for query in element["spec"]["data"]["spec"]["queries"]
    }
    assert asked == {target["expr"] for panel in shown() for target in panel["targets"]}


def test_titles_and_ids_are_unique():
    for key in ("id", "title"):
        values = [panel[key] for panel in classic()["panels"]]
        assert len(values) == len(set(values))


# From here on: the linter's rules by their names.


def test_uneditable_dashboard():
    assert classic()["editable"] is False


def test_template_datasource_rule():
    (source,) = [one for one in classic()["templating"]["list"] if one["type"] == "datasource"]
    assert (source["name"], source["label"], source["query"]) == (
        "datasource",
        "Data source",
        "prometheus",
    )


@pytest.mark.parametrize("name", ["job", "backend", "instance"])
def test_template_job_and_instance_rules(name):
    (one,) = [each for each in classic()["templating"]["list"] if each["name"] == name]
    assert one["type"] == "query"
    assert one["datasource"]["uid"] == "${datasource}"
    assert one["label"] == name.title()
    assert one["multi"] is True
    assert one["includeAll"] is True
    assert one["refresh"] == 2, "template-on-time-change-reload-rule"
    # The linter wants ".+" of the instance as well. Then "all" would reach beyond the chosen
    # backend, whose label only one metric has.
    assert one.get("allValue") == (None if name == "instance" else ".+")


def test_panel_rules():
    for panel in shown():
        assert panel["title"], "panel-title-description-rule"
        assert len(panel["description"]) > 20, panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}", "panel-datasource-rule"
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, "panel-units-rule"
        assert panel["targets"], "panel-no-targets-rule"
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"
            assert target["legendFormat"]


@pytest.mark.parametrize("query", QUERIES)
def test_target_rules(query):
    assert MATCHERS in query.expr
    expr = query.expr.replace("$__rate_interval", RANGE)
    for one in selectors(expr):  # target-promql-rule
        assert ("job", "MatchOp.Re", "$job") in one.matchers, "target-job-rule"
        assert ("instance", "MatchOp.Re", "$instance") in one.matchers, "target-instance-rule"
        if one.range_text:
            assert one.range_text == RANGE, "target-rate-interval-rule"
        if one.name.endswith(("_total", "_bucket", "_sum", "_count")):
            assert one.range_text, f"target-counter-agg-rule: {one.name}"
            assert one.calls[-1] in {"rate", "irate", "increase"}
