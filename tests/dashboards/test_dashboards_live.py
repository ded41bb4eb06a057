"""Every query of dashboards and rules on a real Prometheus that has scraped the real service."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest
from dashboard_help import METRICS, rules
from dashboards_world import RATE_INTERVAL, World, world
from programs import program

from dashboards.grafana_file import VARIABLES
from dashboards.sections import SECTIONS
from guard.metrics import Kind
from stress.pictures import Span, draw
from stress.server import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.process, pytest.mark.postgres]

PANELS = {panel.title: panel for section in SECTIONS for panel in section.panels}
QUERIES = [
    pytest.param(query.plain(RATE_INTERVAL), id=f"{title}-{number}")
    for title, panel in PANELS.items()
    for number, query in enumerate(panel.queries)
]
RECORDS = [rule["record"] for rule in rules() if "record" in rule]
# What the faults must have brought each panel to.
REACHED = {
    "Busiest pool": 1.0,
    "Shed": 0.2,
    "Refusals by reason": 10.0,
    "Time without a free connection": 0.1,
    "Fullest queue": 0.3,
    "Retry-After": 1.0,
    "Shadow mode: would be shed": 10.0,
    "Breakers not closed": 1.0,
    "Errors by kind": 1.0,
    "Failures that the breakers count": 0.5,
    "Changes of the breakers' state": 0.5,
    "Lock waits now": 1.0,
    "Waiting for locks, on average": 0.5,
    "Answers by status": 50.0,
}
FIRED = (
    "GuardClientBudgetBurn",
    "GuardOnlyWatching",
    "GuardLockWait",
    "GuardBreakerOpen",
    "GuardScrapeGone",
)


@pytest.fixture(scope="module")
def seen(tmp_path_factory, start_postgres) -> Iterator[World]:
    program("prometheus")
    with world(tmp_path_factory.mktemp("observed"), start_postgres) as made:
        yield made


@pytest.mark.parametrize("expr", QUERIES)
def test_every_panel_has_data(seen, expr):
    assert seen.values(expr), "no data, or nothing but NaN"


@pytest.mark.parametrize(("title", "least"), REACHED.items())
def test_the_panel_shows_the_fault(seen, title, least):
    reached = max(
        value
        for query in PANELS[title].queries
        for value in seen.values(query.plain(RATE_INTERVAL))
    )
    assert reached >= least


def test_refusals_and_failures_are_bad_answers(seen):
    client = seen.values(PANELS["Good answers"].queries[0].plain(RATE_INTERVAL))
    assert min(client) < 0.9


@pytest.mark.parametrize("record", dict.fromkeys(RECORDS))
def test_every_recording_rule_has_data(seen, record):
    assert seen.values(record)


def test_no_rule_has_an_error(seen):
    groups = seen.prometheus.ask("rules")["groups"]
    judged = [(rule["name"], rule["health"]) for group in groups for rule in group["rules"]]
    assert len(judged) == len(rules())
    assert [name for name, health in judged if health != "ok"] == []


@pytest.mark.parametrize("alert", FIRED)
def test_the_fault_fires_its_alert(seen, alert):
    assert seen.values(f'ALERTS{{alertname="{alert}", alertstate="firing"}}')


def test_an_alert_of_a_fault_that_there_was_not_stays_silent(seen):
    assert (
        seen.values('ALERTS{alertname=~"GuardMetricsBroken|GuardJobGone|GuardWorkersRecycling"}')
        == []
    )


def test_prometheus_knows_every_exported_metric(seen):
    known = set(seen.prometheus.ask("label/__name__/values"))
    # A replica's own are there once there is one.
    for metric in (one for one in METRICS.values() if "replica" not in one.labels):
        suffix = "_bucket" if metric.kind is Kind.HISTOGRAM else ""
        assert metric.name + suffix in known


def test_the_variables_offer_the_backends_and_their_hosts(seen):
    offered = {}
    for variable in VARIABLES:
        series, _, label = variable.query.removeprefix("label_values(")[:-1].rpartition(", ")
        match = series.replace("$job", ".+").replace("$backend", "postgres")
        found = seen.prometheus.ask("series", **{"match[]": match})
        offered[variable.name] = {one[label] for one in found}
    assert offered["job"] == {"guard"}
    assert offered["backend"] == {"duckdb", "postgres"}
    assert offered["instance"] == {f"{HOST}:{seen.sick.admin.port}"}


def test_promtool_has_nothing_to_say_about_the_metrics(seen):
    for server in (seen.shedding, seen.sick):
        with urlopen(
            f"http://{server.admin.host}:{server.admin.port}/metrics", timeout=10
        ) as answer:
            text = answer.read()
        done = subprocess.run(
            [program("promtool"), "check", "metrics"],
            input=text,
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_row_can_be_drawn(seen, tmp_path):
    span = Span(seen.begun_s, seen.prometheus.now_s(), RATE_INTERVAL)
    draw(seen.prometheus, SECTIONS[0], span, tmp_path / "row.png")
    assert (tmp_path / "row.png").read_bytes().startswith(b"\x89PNG")
