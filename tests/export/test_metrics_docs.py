"""The docs' page of metrics is what the code says."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import TYPE_CHECKING

from guard import metrics
from guard.export.docs import EXPORTED, OPENTELEMETRY, markdown
from guard.export.host import Host, guard_version
from guard.export.prometheus import render

if TYPE_CHECKING:
    import pytest

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == markdown()


def test_every_exported_metric_is_on_the_page() -> None:
    page = markdown()
    assert all(f"| `{metric.name}` | {metric.kind}" in page for metric in EXPORTED)
    assert "`decision`: admitted, shed, would_shed, bypassed" in page
    assert "0.0001, 0.00025" in page


def test_the_page_names_what_a_scrape_shows() -> None:
    class Nothing:
        def collect(self) -> tuple[()]:
            return ()

    shown = render(Nothing(), "")[0].decode()
    names = {line.split()[2] for line in shown.splitlines() if line.startswith("# TYPE")}
    assert names == {metric.name for metric in EXPORTED} - {each.name for each in metrics.ALL}


def test_opentelemetrys_names_are_mapped_to_metrics_that_exist() -> None:
    page = markdown()
    assert all(metric in EXPORTED for _, metric, _ in OPENTELEMETRY)
    assert all(f"| `{name}` | `{metric.name}` |" in page for name, metric, _ in OPENTELEMETRY)


def test_without_histograms_there_are_no_buckets() -> None:
    assert "## Buckets" not in markdown([metrics.INFLIGHT])


def test_the_version_of_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Host().version == guard_version() != ""

    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("guard.export.host.version", missing)
    assert guard_version() == ""
