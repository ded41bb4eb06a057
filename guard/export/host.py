"""The metrics that no worker records: what was built, and errors of the export itself."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from guard.metrics import Kind, Metric, Sample

BUILD_INFO: Final = Metric(
    "guard_build_info",
    Kind.GAUGE,
    "Always 1; the labels tell what runs.",
    ("version", "python"),
)
COLLECTOR_ERRORS: Final = Metric(
    "guard_collector_errors_total",
    Kind.COUNTER,
    "Metrics, or whole sources, that could not be read in a scrape.",
)
HOST_METRICS: Final = (BUILD_INFO, COLLECTOR_ERRORS)
"""Every metric of this module."""


def guard_version() -> str:
    """Return the version of the installed distribution; empty where it is not installed."""
    try:
        return version("wsgi-guard")
    except PackageNotFoundError:
        return ""


@dataclass(slots=True)
class Host:
    """What the exporting process itself tells.

    Attributes:
        version: Guard's version.
        python: Python's version.
        collector_errors: errors so far; ``render`` counts them here.
    """

    version: str = field(default_factory=guard_version)
    python: str = field(default_factory=platform.python_version)
    collector_errors: int = 0

    def samples(self) -> list[Sample]:
        """Return the values of ``HOST_METRICS``."""
        return [
            Sample(BUILD_INFO, (self.version, self.python), 1.0),
            Sample(COLLECTOR_ERRORS, (), self.collector_errors),
        ]
