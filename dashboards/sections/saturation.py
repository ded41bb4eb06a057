"""Is it saturated?"""

from __future__ import annotations

from typing import Final

from dashboards.model import Panel, Query, Section, answer, rising

SATURATION: Final = Section(
    "Is it saturated?",
    (
        answer(
            "Busiest pool",
            "Connections in use of those that there are, in the pool and on the host where it is "
            "highest. Near 100 % all the time: the database is the bottleneck, or the pool is too "
            "small for it (GUARD_READ_POOL_SIZE, GUARD_WRITE_POOL_SIZE).",
            'max(sum by (job, instance, pool) (guard_pool_connections{HERE, state="in_use"})'
            " / sum by (job, instance, pool) (guard_pool_connections_max{HERE}))",
            unit="percentunit",
            steps=rising(0.8, 0.95),
        ),
        Panel(
            title="Pool utilisation",
            help="Connections in use of those that were asked for, by pool, over all hosts.",
            unit="percentunit",
            queries=(
                Query(
                    'sum by (pool) (guard_pool_connections{HERE, state="in_use"})'
                    " / sum by (pool) (guard_pool_connections_max{HERE})",
                    "{{pool}}",
                ),
            ),
            width=10,
            top=1.0,
        ),
        Panel(
            title="Time without a free connection",
            help="Share of the time in which a worker's pool had no idle connection. It catches "
            "what falls between two scrapes of the utilisation.",
            unit="percentunit",
            queries=(
                Query(
                    "sum by (pool) (rate(guard_pool_saturated_seconds_total{HERE}"
                    "[$__rate_interval])) / on () group_left () sum(guard_workers{HERE})",
                    "{{pool}}",
                ),
            ),
            width=10,
            top=1.0,
        ),
        Panel(
            title="Connections",
            help="Connections by state, and how many were asked for. Fewer than asked for: the "
            "database refuses them or is away.",
            unit="short",
            queries=(
                Query("sum by (pool, state) (guard_pool_connections{HERE})", "{{pool}} {{state}}"),
                Query("sum by (pool) (guard_pool_connections_max{HERE})", "{{pool}} asked for"),
            ),
        ),
        Panel(
            title="Permits",
            help="Requests that hold a permit, and how many may. At the limit requests are shed "
            "as pool_saturated, or as threads_exhausted where clients read slowly.",
            unit="short",
            queries=(
                Query("sum by (lane) (guard_inflight_requests{HERE})", "{{lane}} held"),
                Query("sum by (lane) (guard_concurrency_limit{HERE})", "{{lane}} limit"),
            ),
        ),
        Panel(
            title="Workers",
            help="Worker processes, those open for requests, and those that ended. A steady rate "
            "of ended workers without a reload means crashes: look at gunicorn's log.",
            unit="short",
            queries=(
                Query("sum(guard_workers{HERE})", "workers"),
                Query("sum(guard_workers_ready{HERE})", "ready"),
                Query(
                    "sum(increase(guard_worker_recycles_total{HERE}[$__rate_interval]))", "ended"
                ),
            ),
        ),
    ),
)
