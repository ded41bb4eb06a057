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
from prometheus_client.utils import floatToGoString

from guard.export.host import Host
from guard.metrics import Kind, Metric, Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.metrics_core import Metric as Family

    from guard.events import MetricSource

log = logging.getLogger("guard.export")

_INFINITY: Final = "+Inf"
_HOST: Final = Host()


def render(source: MetricSource, accept_header: str, host: Host | None = None) -> tuple[bytes, str]:
    """Return all metrics and their content type. Thread-safe.

    A source that fails, or a metric that can't be shown, is left out, logged and counted in
    ``guard_collector_errors_total``; the rest is there.

    Args:
        source: gives the totals.
        accept_header: the request's Accept; it chooses between Prometheus' text format
            0.0.4 and OpenMetrics. What can't be understood gets the text format.
        host: what this process tells about itself; where None, one for the whole process.
    """
    registry = CollectorRegistry()
    registry.register(_Collector(source, host or _HOST))
    encode, content_type = _encoder(accept_header)
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

    def __init__(self, source: MetricSource, host: Host) -> None:
        self._source = source
        self._host = host

    def describe(self) -> list[Family]:
        # Else registering would read the source once more.
        return []

    def collect(self) -> Iterator[Family]:
        for metric, samples in self._by_metric().items():
            try:
                family = _family(metric, samples)
            except Exception:
                self._host.collector_errors += 1
                log.exception("%s could not be exported", metric.name)
            else:
                yield family
        # Last, so that it has this scrape's errors.
        for sample in self._host.samples():
            yield _family(sample.metric, [sample])

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


def _family(metric: Metric, samples: list[Sample]) -> Family:
    if metric.kind is Kind.HISTOGRAM:
        return _histogram(metric, samples)
    kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=metric.labels)
    for sample in samples:
        family.add_metric(_labels(sample), float(sample.value))
    return family


def _histogram(metric: Metric, samples: list[Sample]) -> Family:
    bounds = [*map(floatToGoString, metric.buckets), _INFINITY]
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for sample in samples:
        buckets = list(zip(bounds, accumulate(sample.counts), strict=True))
        family.add_metric(_labels(sample), buckets, float(sample.value))
    return family


def _labels(sample: Sample) -> list[str]:
    if len(sample.labels) != len(sample.metric.labels):
        # prometheus_client would leave the label out, and so make two series the same.
        raise ValueError(f"{sample.metric.name} has no label set {sample.labels}")
    # One lone surrogate would fail the whole scrape.
    return [label.encode("utf-8", "replace").decode() for label in sample.labels]
