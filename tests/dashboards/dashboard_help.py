"""What the tests of dashboards and rules ask of a query: its metrics, matchers and ranges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import promql_parser as promql
import yaml

from dashboards.__main__ import FOLDER
from guard.export.docs import EXPORTED
from guard.metrics import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.metrics import Metric

ROOT = Path(__file__).parents[2]
RULES = ROOT / "dashboards" / "prometheus"
OF_PROMETHEUS = {"up", "scrape_duration_seconds"}
METRICS = {metric.name: metric for metric in EXPORTED}


class Selected(NamedTuple):
    """A selector of a query: the series' name, its matchers, the calls around it."""

    name: str
    matchers: list[tuple[str, str, str]]
    range_text: str
    calls: tuple[str, ...]

    @property
    def metric(self) -> Metric | None:
        """Guard's metric, or None where the series is none of Guard's."""
        for suffix in ("", "_bucket", "_sum", "_count"):
            found = (
                METRICS.get(self.name.removesuffix(suffix)) if suffix else METRICS.get(self.name)
            )
            if found is not None and (not suffix or found.kind is Kind.HISTOGRAM):
                return found
        return None


def selectors(expr: str) -> list[Selected]:
    """Return every selector of a query; raise where it does not parse."""
    return list(_walk(promql.parse(expr), ()))


def grouping(expr: str) -> set[str]:
    """Return every label that an aggregation keeps."""
    found: set[str] = set()

    def note(node: Any) -> None:
        if isinstance(node, promql.AggregateExpr) and node.modifier is not None:
            found.update(node.modifier.labels)

    promql.walk(promql.parse(expr), note)
    return found


def _walk(node: Any, calls: tuple[str, ...]) -> Iterator[Selected]:
    if isinstance(node, promql.VectorSelector):
        yield _selected(node, "", calls)
    elif isinstance(node, promql.MatrixSelector):
        seconds = f"{node.range.total_seconds():g}s"
        yield _selected(node.vector_selector, seconds, calls)
    elif isinstance(node, promql.Call):
        for each in node.args:
            yield from _walk(each, (*calls, node.func.name))
    elif isinstance(node, promql.BinaryExpr):
        yield from _walk(node.lhs, calls)
        yield from _walk(node.rhs, calls)
    elif isinstance(node, (promql.AggregateExpr, promql.ParenExpr, promql.UnaryExpr)):
        yield from _walk(node.expr, calls)


def _selected(node: Any, range_text: str, calls: tuple[str, ...]) -> Selected:
    matchers = [(one.name, str(one.op), one.value) for one in node.matchers.matchers]
    return Selected(node.name, matchers, range_text, calls)


def rules() -> list[dict[str, Any]]:
    """Return every recording and alerting rule as it is written."""
    return [
        rule
        for name in ("guard.rules.yml", "guard.alerts.yml")
        for group in yaml.safe_load((RULES / name).read_text())["groups"]
        for rule in group["rules"]
    ]


def classic() -> dict[str, Any]:
    """Return the committed classic dashboard."""
    document: dict[str, Any] = json.loads((FOLDER / "guard.json").read_text())
    return document
