"""Dashboards, rules, metrics, settings and docs tell of the same things."""

from __future__ import annotations

import re

import pytest
import yaml
from dashboard_help import (
    METRICS,
    OF_PROMETHEUS,
    ROOT,
    RULES,
    grouping,
    rules,
    selectors,
)

from dashboards.grafana_file import VARIABLES
from dashboards.sections import SECTIONS
from guard.metrics import Kind
from guard.settings.model import Settings, specs

PAGE = (ROOT / "docs" / "dashboards.md").read_text()
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
RECORDED = {rule["record"] for rule in rules() if "record" in rule}
PANELS = [panel for section in SECTIONS for panel in section.panels]
ON_DASHBOARD = [
    query.expr.replace("$__rate_interval", "60s") for panel in PANELS for query in panel.queries
]
IN_RULES = [rule["expr"] for rule in rules()]
FREE_LABELS = {"job", "instance", "le"}
ENV = {spec.env for spec in specs().values()}


def by_name(texts: list[str]) -> list:
    return [pytest.param(text, id=text[:60]) for text in texts]


@pytest.mark.parametrize("expr", by_name(ON_DASHBOARD + IN_RULES))
def test_every_series_exists_with_the_labels_that_are_asked_for(expr):
    kept = grouping(expr) - FREE_LABELS
    for one in selectors(expr):
        if one.name in RECORDED | OF_PROMETHEUS:
            continue
        metric = one.metric
        assert metric is not None, f"there is no metric {one.name}"
        known = dict(zip(metric.labels, metric.known, strict=False))
        for label, op, value in one.matchers:
            assert label in FREE_LABELS | set(metric.labels), f"{one.name} has no label {label}"
            if op in {"MatchOp.Equal", "MatchOp.NotEqual"} and known.get(label):
                assert value in known[label], f"{label} of {one.name} is never {value}"
            if label == "le":
                assert float(value) in metric.buckets, f"{one.name} has no bucket {value}"
    named = {label for one in selectors(expr) if one.metric for label in one.metric.labels}
    recorded = (
        {"lane", "queue", "pool"} if any(o.name in RECORDED for o in selectors(expr)) else set()
    )
    assert kept <= named | recorded, "an aggregation keeps a label that nothing has"


@pytest.mark.parametrize("expr", by_name(ON_DASHBOARD + IN_RULES))
def test_counters_are_asked_for_rates_and_gauges_never(expr):
    for one in selectors(expr):
        if one.metric is not None and one.calls:
            counted = one.metric.kind is not Kind.GAUGE
            assert counted or one.calls[-1] not in {"rate", "increase"}, one.name


def test_every_exported_metric_is_shown_or_documented_as_not_shown():
    shown = {one.metric.name for expr in ON_DASHBOARD for one in selectors(expr) if one.metric}
    _, _, section = PAGE.partition("## Not shown")
    not_shown = set(re.findall(r"^- `(guard_\w+)`", section, re.MULTILINE))
    assert shown | not_shown == set(METRICS), "a panel, or a line under 'Not shown'"
    assert not shown & not_shown


def test_the_variables_ask_for_metrics_that_exist():
    for variable in VARIABLES:
        name, labels = re.match(r"label_values\((\w+).*, (\w+)\)$", variable.query).groups()
        assert labels in FREE_LABELS | set(METRICS[name].labels)


@pytest.mark.parametrize("text", [panel.help for panel in PANELS] + [RUNBOOK, PAGE])
def test_every_variable_that_a_help_text_names_exists(text):
    assert set(re.findall(r"\bGUARD_[A-Z_]+", text)) <= ENV


def test_every_section_is_explained():
    assert [line for line in PAGE.splitlines() if line.startswith("### ")] == [
        f"### {section.question}" for section in SECTIONS
    ]


def test_the_runbook_has_a_section_for_each_alert_and_no_other():
    assert re.findall(r"^## (Guard\w+)$", RUNBOOK, re.MULTILINE) == list(ALERTS)
    for part in re.split(r"^## Guard", RUNBOOK, flags=re.MULTILINE)[1:]:
        for word in ("Means", "Look", "Turn", "Call"):
            assert f"**{word}:**" in part, part[:30]


@pytest.mark.parametrize("rule", [rule for rule in rules() if "alert" in rule])
def test_every_alert_says_how_urgent_it_is_and_where_to_read_on(rule):
    assert rule["labels"]["severity"] in {"page", "ticket"}
    told = rule["annotations"]
    assert told["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"
    assert told["summary"]
    assert told["description"]


def test_every_alert_is_fired_in_the_rules_test():
    text = (RULES / "guard.rules.test.yml").read_text()
    fired = set(re.findall(r'alertname(?:=|: )"?(Guard\w+)', text))
    assert fired == set(ALERTS)


def test_prometheus_own_configuration_names_the_rules_and_the_default_listener():
    config = yaml.safe_load((RULES / "prometheus.yml").read_text())
    assert all((RULES / name).is_file() for name in config["rule_files"])
    (job,) = config["scrape_configs"]
    assert job["static_configs"] == [{"targets": [Settings().admin_bind]}]
