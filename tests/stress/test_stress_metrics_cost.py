"""``python -m stress metrics-cost``, with few requests: what it tells, not how fast it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from stress import metrics_cost
from stress.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_cost, "_REQUESTS", 5)
    monkeypatch.setattr(metrics_cost, "_SCRAPES", 2)
    for bar in ("REQUEST_US_MAX", "NO_NAMES_US_MAX", "SCRAPE_MS_MAX"):
        monkeypatch.setattr(metrics_cost, bar, 1e9)


def test_it_tells_its_figures_and_bars(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics-cost", "--rounds", "2", "--out", str(tmp_path)]) == 0
    document = json.loads((tmp_path / "metrics-cost.json").read_text())
    assert document["met"] is True
    assert len(document["verdicts"]) == 3
    assert set(document["facts"]) == {
        "metrics, us of CPU per request",
        "a look for names, us of CPU per request",
        "request id and trace, us of CPU per request",
        "scrape, text",
        "scrape, OpenMetrics",
        "scrape, text, gzip",
    }
    assert "pass  scrape with 32 workers" in capsys.readouterr().out


def test_a_missed_bar_is_the_exit_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_cost, "SCRAPE_MS_MAX", 0.0)
    assert main(["metrics-cost", "--rounds", "1", "--out", str(tmp_path)]) == 1


def test_each_way_is_measured_in_each_round() -> None:
    costs = metrics_cost.request_costs_us(3)
    assert {name: len(values) for name, values in costs.items()} == dict.fromkeys(
        ("bare", "measured", "asked", "named"), 3
    )


def test_every_worker_of_the_board_has_counted() -> None:
    board = metrics_cost.busy_board()
    assert len(board.workers()) == metrics_cost.WORKERS
    labels = ("GET", "/items/0/<id>", "200")
    assert board.value(metrics_cost.metrics.HTTP_RESPONSES, labels) == metrics_cost.WORKERS
