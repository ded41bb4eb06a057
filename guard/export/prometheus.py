"""Renders any source of metrics in Prometheus' formats. The one place of prometheus_client."""

from __future__ import annotations

import logging
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar as Trace
from prometheus_client.utils import floatToGoString

from guard.events import ExemplarSource
from guard.export.host import Host
from guard.metrics import HTTP_DURATION, Kind, Metric, Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client.metrics_core import Metric as Family

    from guard.events import Exemplar, MetricSource

    _Bucket = tuple[str, float] | tuple[str, float, Trace]
    _Traces = dict[tuple[tuple[str, ...], int], Trace]

log = logging.getLogger("guard.export")

_INFINITY: Final = "+Inf"
_OPENMETRICS: Final = "application/openmetrics-text"
_HOST: Final = Host()


def render(source: MetricSource, accept_header: str, host: Host | None = None) -> tuple[bytes, str]:
    """Return all metrics and their content type. Thread-safe.

    A source that fails, or a metric that can't be shown, is left out, logged and counted in
    ``guard_collector_errors_total``; the rest is there.

    Args:
        source: gives the totals.
        accept_header: the request's Accept; it chooses between Prometheus' text format
            0.0.4 and OpenMetrics. What can't be understood gets the text format. Exemplars,
            where the source has any, are in OpenMetrics only.
        host: what this process tells about itself; where None, one for the whole process.
    """
    encode, content_type = _encoder(accept_header)
    exemplars: Callable[[], Iterable[Exemplar]] = tuple
    if isinstance(source, ExemplarSource) and content_type.startswith(_OPENMETRICS):
        exemplars = source.exemplars
    registry = CollectorRegistry()
    registry.register(_Collector(source, host or _HOST, exemplars))
    return encode(registry), content_type


def _encoder(accept_header: str) -> tuple[Callable[[Collector], bytes], str]:
    # A content type echoes the version that was asked for: nothing odd may get into a header.
    if accept_header.isascii() and accept_header.isprintable():
        try:
            return choose_encoder(accept_header)
        except (TypeError, ValueError):
            pass  # a version that is no version
    return choose_encoder("")


class _Collector(Collector):
    """Turns samples into prometheus_client's families, a metric's failure being its own."""

    def __init__(
        self, source: MetricSource, host: Host, exemplars: Callable[[], Iterable[Exemplar]]
    ) -> None:
        self._source = source
        self._host = host
        self._exemplars = exemplars

    def describe(self) -> list[Family]:
        # Else registering would read the source once more.
        return []

    def collect(self) -> Iterator[Family]:
        for metric, samples in self._by_metric().items():
            try:
                traces = self._traces() if metric is HTTP_DURATION else {}
                family = _family(metric, samples, traces)
            except Exception:
                self._host.collector_errors += 1
                log.exception("%s could not be exported", metric.name)
            else:
                yield family
        # Last, so that it has this scrape's errors.
        for sample in self._host.samples():
            yield _family(sample.metric, [sample], {})

    def _traces(self) -> _Traces:
        return {
            (each.labels, each.bucket): Trace({"trace_id": each.trace_id}, each.value, each.at_s)
            for each in self._exemplars()
        }

    def _by_metric(self) -> dict[Metric, list[Sample]]:
        # A family must be told in one piece, in whatever order the source tells it.
        found: dict[Metric, list[Sample]] = {}
        try:
            for sample in self._source.collect():
                found.setdefault(sample.metric, []).append(sample)
        except Exception:
            self._host.collector_errors += 1
            log.exception("a source of metrics could not be read to its end")
        return found


def _family(metric: Metric, samples: list[Sample], traces: _Traces) -> Family:
    if metric.kind is Kind.HISTOGRAM:
        return _histogram(metric, samples, traces)
    kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=metric.labels)
    for sample in samples:
        family.add_metric(_labels(sample), float(sample.value))
    return family


def _histogram(metric: Metric, samples: list[Sample], traces: _Traces) -> Family:
    bounds = [*map(floatToGoString, metric.buckets), _INFINITY]
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for sample in samples:
        buckets: list[_Bucket] = list(zip(bounds, accumulate(sample.counts), strict=True))
        for number, (bound, count, *_) in enumerate(buckets):
            trace = traces.get((sample.labels, number))
            if trace is not None:
                buckets[number] = bound, count, trace
        family.add_metric(_labels(sample), buckets, float(sample.value))
    return family


def _labels(sample: Sample) -> list[str]:
    if len(sample.labels) != len(sample.metric.labels):
        # prometheus_client would leave the label out, and so make two series the same.
        raise ValueError(f"{sample.metric.name} has no label set {sample.labels}")
    # One lone surrogate would fail the whole scrape.
    return [label.encode("utf-8", "replace").decode() for label in sample.labels]
