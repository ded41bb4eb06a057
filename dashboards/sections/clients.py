"""What do clients see?"""

from __future__ import annotations

from typing import Final

from dashboards.model import Look, Panel, Query, Section, answer, falling, quantiles

# Health checks are no client's business.
_ROUTES: Final = 'HERE, route!~"/livez|/readyz|/metrics"'
_ALL: Final = f"sum(rate(guard_http_responses_total{{{_ROUTES}}}[$__rate_interval]))"
# A code has no series before its first answer.
_ERRORS: Final = (
    f'(sum(rate(guard_http_responses_total{{{_ROUTES}, code=~"5..|499"}}[$__rate_interval]))'
    " or vector(0))"
)
_SLOW: Final = (
    f"(sum(rate(guard_http_request_duration_seconds_count{{{_ROUTES}}}[$__rate_interval]))"
    f' - sum(rate(guard_http_request_duration_seconds_bucket{{{_ROUTES}, le="1.0"}}'
    "[$__rate_interval])))"
)
_LATE: Final = (
    "(sum(rate(guard_queue_wait_seconds_count{HERE}[$__rate_interval]))"
    ' - sum(rate(guard_queue_wait_seconds_bucket{HERE, le="1.0"}[$__rate_interval])))'
)
_SHED: Final = (
    'sum(rate(guard_admission_decisions_total{HERE, decision=~"shed|dropped"}[$__rate_interval]))'
)
_CLIENT: Final = f"clamp_min(1 - ({_ERRORS} + {_SLOW} + {_LATE}) / {_ALL}, 0)"
_ADMITTED: Final = (
    f"clamp_min(1 - (clamp_min({_ERRORS} - {_SHED}, 0) + {_SLOW}) / ({_ALL} - {_SHED}), 0)"
)


def _by(label: str, extra: str = "") -> str:
    where = f"{_ROUTES}{extra}"
    return f"sum by ({label}) (rate(guard_http_responses_total{{{where}}}[$__rate_interval]))"


CLIENTS: Final = Section(
    "What do clients see?",
    (
        answer(
            "Good answers",
            "Share of all requests that were answered within a second and without a 5xx. Refusals, "
            "and requests whose clients had gone (499), count as bad: this is the client's view.",
            _CLIENT,
            unit="percentunit",
            steps=falling(0.95, 0.99),
        ),
        Panel(
            title="Good answers, two views",
            help="client: of all requests, refusals count as bad. admitted: of those let through. "
            "Only client low: overload, and the guard is at work. Both low: the service or its "
            "database is broken. An answer that is both slow and a 5xx counts as two bad ones.",
            unit="percentunit",
            queries=(Query(_CLIENT, "client"), Query(_ADMITTED, "admitted")),
            width=10,
            top=1.0,
        ),
        Panel(
            title="Answers by status",
            help="All answers, refusals (503) included.",
            unit="reqps",
            queries=(Query(_by("code"), "{{code}}"),),
            look=Look.STACKED,
            width=10,
        ),
        Panel(
            title="Duration of admitted requests",
            help="From the guard to the end of the answer. The wait before the guard comes on top; "
            "refusals have a panel of their own.",
            unit="s",
            queries=quantiles("guard_http_request_duration_seconds"),
        ),
        Panel(
            title="Slowest routes",
            help="The ten routes with the highest 95th percentile.",
            unit="s",
            queries=(
                Query(
                    "topk(10, histogram_quantile(0.95, sum by (le, method, route) (rate("
                    "guard_http_request_duration_seconds_bucket{HERE}[$__rate_interval]))))",
                    "{{method}} {{route}}",
                ),
            ),
        ),
        Panel(
            title="Busiest routes",
            help="The ten routes with most answers. Refusals that left before a thread was taken "
            "are (unmatched): nobody has parsed them.",
            unit="reqps",
            queries=(Query(f"topk(10, {_by('method, route')})", "{{method}} {{route}}"),),
        ),
    ),
)
