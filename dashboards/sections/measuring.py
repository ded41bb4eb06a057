"""Does the measuring work?"""

from __future__ import annotations

from typing import Final

from dashboards.model import Panel, Query, Section, Step, answer

MEASURING: Final = Section(
    "Does the measuring work?",
    (
        answer(
            "Scraped",
            "Share of the selected targets that Prometheus reaches. Below 100 % the rest of this "
            "page has holes.",
            "avg(up{HERE})",
            unit="percentunit",
            steps=(Step(None, "red"), Step(1.0, "green")),
        ),
        Panel(
            title="Targets",
            help="1 where the last scrape succeeded.",
            unit="short",
            queries=(Query("up{HERE}", "{{instance}}"),),
            width=6,
        ),
        Panel(
            title="Time of a scrape",
            help="Should stay below 0.1 s also under overload: the admin listener needs no request "
            "thread.",
            unit="s",
            queries=(Query("scrape_duration_seconds{HERE}", "{{instance}}"),),
            width=6,
        ),
        Panel(
            title="Versions and databases",
            help="Hosts by Guard's and Python's version, and workers by database.",
            unit="short",
            queries=(
                Query(
                    "count by (version, python) (guard_build_info{HERE})",
                    "Guard {{version}}, Python {{python}}",
                ),
                Query("count by (backend) (guard_backend_info{HERE})", "hosts on {{backend}}"),
            ),
            width=4,
        ),
        Panel(
            title="Metrics that could not be read",
            help="Errors of the export. Anything but 0 is a bug: look at the log.",
            unit="short",
            queries=(
                Query(
                    "sum by (instance) (increase(guard_collector_errors_total{HERE}"
                    "[$__rate_interval]))",
                    "{{instance}}",
                ),
            ),
            width=4,
        ),
    ),
)
