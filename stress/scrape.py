"""What the service says of itself: its metrics, read from the admin listener."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import closing
from http.client import HTTPConnection
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from stress.server import ServerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stress.shots import Target

_LINE: Final = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)")
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_TIMEOUT_S: Final = 5.0
_CALM_S: Final = 60.0
_LOOK_S: Final = 0.2
_CALM_LOOKS: Final = 3


class Reading(NamedTuple):
    """One line of a scrape.

    Attributes:
        name: the metric's.
        labels: values by name.
        value: what it read.
    """

    name: str
    labels: dict[str, str]
    value: float


class Counts(NamedTuple):
    """What the service has counted since its start.

    Attributes:
        decided: requests that were decided about, refusals among them.
        shed: those that were refused.
        responses: responses that were sent, or were about to be.
    """

    decided: int
    shed: int
    responses: int

    def since(self, before: Counts) -> Counts:
        """Return what came after an earlier count."""
        return Counts(*(now - then for now, then in zip(self, before, strict=True)))


class Scrape:
    """One scrape.

    Args:
        text: Prometheus' text format, as the service writes it.
    """

    def __init__(self, text: str) -> None:
        self._readings = list(_parse(text))

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of a metric over all label sets that have these values."""
        wanted = labels.items()
        return sum(one.value for one in self._readings
                   if one.name == name and wanted <= one.labels.items())  # fmt: skip

    def by(self, name: str, label: str) -> dict[str, float]:
        """Return a metric's sum for each value of a label; those of 0 are left out."""
        found: Counter[str] = Counter()
        for one in self._readings:
            if one.name == name:
                found[one.labels[label]] += one.value  # type: ignore[assignment]
        return {value: total for value, total in sorted(found.items()) if total}

    @property
    def counts(self) -> Counts:
        """What was counted so far."""
        decisions = "guard_admission_decisions_total"
        return Counts(
            round(self.total(decisions)),
            round(self.total(decisions, decision="shed")),
            round(self.total("guard_http_responses_total")),
        )

    @property
    def in_flight(self) -> int:
        """Requests that hold a permit."""
        return round(self.total("guard_inflight_requests"))

    def why_not_calm(self, workers: int) -> str:
        """Return what keeps the service from rest, one line; empty where nothing does.

        At rest it has so many workers, all of them open for requests, and nothing under way.
        """
        there, ready = (
            round(self.total(name)) for name in ("guard_workers", "guard_workers_ready")
        )
        if there == ready == workers and not self.in_flight:
            return ""
        return f"{there} workers, {ready} ready, {self.in_flight} requests in flight"


def _parse(text: str) -> Iterator[Reading]:
    for line in text.splitlines():
        found = _LINE.fullmatch(line)
        if found is not None and not line.startswith("#"):
            name, labels, value = found.groups()
            yield Reading(name, dict(_LABEL.findall(labels or "")), float(value))


def scrape(admin: Target) -> Scrape:
    """Return what the admin listener shows now.

    Raises:
        OSError: it does not answer.
    """
    connection = HTTPConnection(admin.host, admin.port, timeout=_TIMEOUT_S)
    with closing(connection):
        connection.request("GET", "/metrics")
        return Scrape(connection.getresponse().read().decode())


def calm_counts(admin: Target, workers: int) -> Counts:
    """Return what was counted once all workers serve, nothing is under way and nothing comes.

    Raises:
        ServerError: that is not so within a minute.
        OSError: the admin listener does not answer.
    """
    tick, until_s = Event(), monotonic() + _CALM_S
    before, looks, why = None, 0, ""
    while monotonic() < until_s:
        seen = scrape(admin)
        why = seen.why_not_calm(workers)
        looks = looks + 1 if not why and seen.counts == before else 0
        if looks >= _CALM_LOOKS:
            return seen.counts
        before = seen.counts
        tick.wait(_LOOK_S)
    raise ServerError(f"it does not come to rest: {why or 'it still counts'}")
