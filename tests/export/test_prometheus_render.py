"""The rendered metrics, read again by prometheus_client's own parsers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from guard import metrics
from guard.board import Board
from guard.export.host import Host
from guard.export.prometheus import render
from guard.metrics import Kind, Metric, Sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
# What Prometheus 2 and 3 send, and a browser.
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;"
    "version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class Fixed:
    """A source of given samples."""

    def __init__(self, *samples: Sample) -> None:
        self.samples = samples

    def collect(self) -> Iterable[Sample]:
        return self.samples


class Broken(Fixed):
    """A source that fails after its samples."""

    def collect(self) -> Iterator[Sample]:
        yield from self.samples
        raise RuntimeError("broken")


def values(body: bytes, *, openmetrics: bool) -> Values:
    read = read_openmetrics if openmetrics else read_text
    found: Values = {}
    for family in read(body.decode()):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found
            found[key] = float(sample.value)
    return found


def both(source: Fixed | Board, host: Host | None = None) -> Values:
    """Render in both formats; they must say the same."""
    text, text_type = render(source, "", host)
    other, other_type = render(source, OPENMETRICS, host)
    assert text_type == "text/plain; version=0.0.4; charset=utf-8"
    assert other_type.startswith(OPENMETRICS)
    found = values(text, openmetrics=False)
    assert {k: v for k, v in found.items() if "collector_errors" not in k[0]} == {
        k: v for k, v in values(other, openmetrics=True).items() if "collector_errors" not in k[0]
    }
    return found


def expected(sample: Sample) -> Values:
    """Return the lines that one sample should become."""
    name = sample.metric.name
    labels = tuple(zip(sample.metric.labels, sample.labels, strict=True))
    if sample.metric.kind is not Kind.HISTOGRAM:
        return {(name, tuple(sorted(labels))): sample.value}
    found = {(f"{name}_sum", tuple(sorted(labels))): sample.value}
    total = 0.0
    for bound, count in zip((*sample.metric.buckets, float("inf")), sample.counts, strict=True):
        total += count
        le = "+Inf" if bound == float("inf") else str(bound)
        found[f"{name}_bucket", tuple(sorted((*labels, ("le", le))))] = total
    found[f"{name}_count", tuple(sorted(labels))] = total
    return found


def test_a_whole_board() -> None:
    board, row = Board.local()
    row.add(metrics.DECISIONS_TOTAL, ("shed", "deadline", "read"), 3.0)
    row.observe(metrics.ACQUIRE_WAIT, ("read", "ok"), 0.003)
    row.observe(metrics.SHED_DURATION, (), 0.0001)
    row.observe(metrics.HTTP_DURATION, ("GET", "/warrior/<uuid:warrior_id>"), 20.0)
    row.add(metrics.HTTP_RESPONSES, ("GET", "/warrior/<uuid:warrior_id>", "200"))
    row.set(metrics.INFLIGHT, ("write",), 2.0)
    found = both(board, Host("1.2.3", "3.11.9"))
    wanted: Values = {
        ("guard_build_info", (("python", "3.11.9"), ("version", "1.2.3"))): 1.0,
        ("guard_collector_errors_total", ()): 0.0,
    }
    for sample in board.collect():
        wanted |= expected(sample)
    assert found == wanted


LABEL = st.text(st.characters(codec="utf-8"), max_size=20)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(LABEL, LABEL), min_size=1, max_size=4, unique=True), st.data())
def test_any_label_and_value_survives(labels: list[tuple[str, str]], data: st.DataObject) -> None:
    counts = st.lists(
        st.integers(0, 10**12).map(float),
        min_size=len(metrics.HTTP_DURATION.buckets) + 1,
        max_size=len(metrics.HTTP_DURATION.buckets) + 1,
    )
    value = st.floats(0.0, 1e300)
    samples = [
        Sample(metrics.HTTP_DURATION, pair, data.draw(value), tuple(data.draw(counts)))
        for pair in labels
    ]
    samples += [Sample(metrics.DB_ERRORS, pair, data.draw(value)) for pair in labels]
    found = values(render(Fixed(*samples), OPENMETRICS)[0], openmetrics=True)
    for sample in samples:
        assert expected(sample).items() <= found.items()


def test_a_source_in_any_order_gives_whole_families() -> None:
    a = Sample(metrics.INFLIGHT, ("read",), 1.0)
    b = Sample(metrics.LIMIT, ("read",), 2.0)
    c = Sample(metrics.INFLIGHT, ("write",), 3.0)
    body, _ = render(Fixed(a, b, c), "")
    assert body.count(b"# TYPE guard_inflight_requests gauge") == 1
    assert len(both(Fixed(a, b, c))) == 5


def test_a_lone_surrogate_fails_nothing() -> None:
    found = both(Fixed(Sample(metrics.INFLIGHT, ("\ud800",), 1.0)))
    assert found["guard_inflight_requests", (("lane", "?"),)] == 1.0


def test_a_failing_metric_leaves_the_others(caplog: pytest.LogCaptureFixture) -> None:
    host = Host("1", "3")
    bad = Metric("bad name!", Kind.COUNTER, "Not a name.")
    source = Fixed(
        Sample(metrics.BATCH_SIZE, (), 1.0, (1.0,)),
        Sample(metrics.LIMIT, (), 1.0),
        Sample(metrics.POOL_MAX, ("read",), "many"),  # type: ignore[arg-type]
        Sample(bad, ("surplus",), 1.0),
        Sample(metrics.INFLIGHT, ("read",), 7.0),
    )
    found = values(render(source, "", host)[0], openmetrics=False)
    assert found["guard_inflight_requests", (("lane", "read"),)] == 7.0
    assert found["guard_collector_errors_total", ()] == host.collector_errors == 4
    assert not any("batch" in name or "limit" in name for name, _ in found)
    assert len(caplog.records) == 4


def test_a_failing_source_leaves_what_it_gave(caplog: pytest.LogCaptureFixture) -> None:
    host = Host("1", "3")
    source = Broken(Sample(metrics.INFLIGHT, ("read",), 7.0))
    for errors in (1, 2):
        found = values(render(source, OPENMETRICS, host)[0], openmetrics=True)
        assert found["guard_inflight_requests", (("lane", "read"),)] == 7.0
        assert found["guard_collector_errors_total", ()] == errors
    assert "RuntimeError: broken" in caplog.text


@pytest.mark.parametrize(
    ("accept", "start"),
    [
        ("", "text/plain; version=0.0.4"),
        (BROWSER, "text/plain; version=0.0.4"),
        ("text/plain; version=0.0.4", "text/plain; version=0.0.4"),
        (PROMETHEUS_2, "application/openmetrics-text; version=1.0.0"),
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0"),
        ("application/openmetrics-text; version=x", "text/plain; version=0.0.4"),
        ("application/openmetrics-text; version=\r\nX: y", "text/plain; version=0.0.4"),
        ("text/plain; version=\xff", "text/plain; version=0.0.4"),
        (";;,,=;", "text/plain; version=0.0.4"),
    ],
)
def test_negotiation(accept: str, start: str) -> None:
    body, content_type = render(Fixed(Sample(metrics.INFLIGHT, ("read",), 1.0)), accept)
    assert content_type.startswith(start)
    assert body.endswith(b"# EOF\n") is content_type.startswith("application/openmetrics-text")


def test_the_global_registry_is_left_alone() -> None:
    before = {family.name for family in REGISTRY.collect()}
    render(Fixed(Sample(metrics.INFLIGHT, ("read",), 1.0)), "")
    assert {family.name for family in REGISTRY.collect()} == before


def test_the_source_is_read_once_per_scrape() -> None:
    reads = []

    class Counting(Fixed):
        def collect(self) -> Iterable[Sample]:
            reads.append(1)
            return ()

    render(Counting(), "")
    assert len(reads) == 1
