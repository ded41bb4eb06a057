"""Exemplars in OpenMetrics, and what Prometheus' own linter says."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import program
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics

from guard import metrics
from guard.board import Board
from guard.correlation import Correlation
from guard.events import Exemplar
from guard.export.prometheus import render
from guard.gunicorn.queues import HostSource
from guard.watches.exemplars import MOST, Exemplars, all_exemplars

if TYPE_CHECKING:
    from guard.board import WorkerRow

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def named(trace_id: str = TRACE, *, sampled: bool = True) -> Correlation:
    return Correlation("", trace_id, "00f067aa0ba902b7", sampled)


def counted(row: WorkerRow, took_s: float, exemplars: Exemplars, trace_id: str) -> None:
    """Do what the middleware does with an admitted request."""
    row.observe(metrics.HTTP_DURATION, ("GET", "/x"), took_s)
    exemplars.keep(("GET", "/x"), took_s, named(trace_id))


def test_the_last_trace_of_a_bucket_is_shown_in_openmetrics_only() -> None:
    board = Board.anonymous(2)
    rows = [board.claim(index, 100 + index) for index in range(2)]
    times = iter((10.0, 20.0, 30.0, 40.0))
    first, second = (Exemplars(lambda: next(times), row.note) for row in rows)
    counted(rows[1], 0.3, second, "a" * 32)
    counted(rows[0], 0.4, first, "b" * 32)
    counted(rows[0], 0.06, first, "c" * 32)
    counted(rows[0], 99.0, first, "d" * 32)
    for exemplars in (first, second):
        exemplars(0.0)
    source = HostSource(board, list)
    found = {
        sample.labels["le"]: sample.exemplar
        for family in read_openmetrics(render(source, OPENMETRICS)[0].decode())
        for sample in family.samples
        if sample.exemplar is not None
    }
    assert {le: each.labels["trace_id"] for le, each in found.items()} == {
        "0.075": "c" * 32, "0.5": "b" * 32, "+Inf": "d" * 32,
    }  # fmt: skip
    assert (found["0.5"].value, float(found["0.5"].timestamp)) == (0.4, 20.0)
    assert TRACE[:1] * 32 not in render(source, "")[0].decode()
    assert b" # {" not in render(source, "")[0]


def test_a_trace_that_nobody_records_is_no_exemplar() -> None:
    board, row = Board.local()
    exemplars = Exemplars(lambda: 1.0, row.note)
    exemplars.keep(("GET", "/x"), 0.3, named(sampled=False))
    exemplars.keep(("GET", "/x"), 0.3, Correlation("abc"))
    exemplars(0.0)
    assert all_exemplars(board.notes().values()) == []


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 100), st.floats(0.0, 20.0)), max_size=200))
def test_a_worker_keeps_the_youngest_and_not_too_many(seen: list[tuple[int, float]]) -> None:
    board, row = Board.local()
    now = [0.0]
    exemplars = Exemplars(lambda: now[0], row.note)
    for route, took_s in seen:
        now[0] += 1.0
        exemplars.keep(("GET", f"/{route}"), took_s, named())
    exemplars(0.0)
    found = all_exemplars(board.notes().values())
    keys = {(each.labels, each.bucket) for each in found}
    assert len(found) == len(keys) <= MOST
    if seen:
        route, took_s = seen[-1]
        assert Exemplar(("GET", f"/{route}"), max(found, key=lambda e: e.at_s).bucket, took_s,
                        TRACE, now[0]) in found  # fmt: skip


def test_promtool_finds_nothing_to_say() -> None:
    promtool = program("promtool")
    _, row = board_and_row = Board.local()
    for metric in metrics.ALL:
        labels = tuple("x" for _ in metric.labels)
        if metric.kind is metrics.Kind.HISTOGRAM and not metric.known_label_sets():
            row.observe(metric, labels, 0.1)
        elif metric.kind is metrics.Kind.COUNTER and not metric.known_label_sets():
            row.add(metric, labels)
    body, _ = render(board_and_row[0], "")
    found = subprocess.run(
        [promtool, "check", "metrics"], input=body, capture_output=True, check=False, timeout=60
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, b"", b"")


@pytest.mark.parametrize("ci", [True, False])
def test_a_missing_program_skips_but_never_under_ci(
    monkeypatch: pytest.MonkeyPatch, *, ci: bool
) -> None:
    monkeypatch.setenv("CI", "true" if ci else "")
    expected = pytest.fail.Exception if ci else pytest.skip.Exception
    with pytest.raises(expected, match="no-such-program"):
        program("no-such-program")
