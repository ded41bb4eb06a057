"""What waits where?"""

from __future__ import annotations

from typing import Final

from dashboards.model import Panel, Query, Section, answer, quantiles, rising

WAITING: Final = Section(
    "What waits where?",
    (
        answer(
            "Fullest queue",
            "Depth of the capacity, in the queue and on the host where it is highest. A queue that "
            "fills comes before refusals.",
            "max(sum by (job, instance, queue) (guard_queue_depth{HERE})"
            " / (sum by (job, instance, queue) (guard_queue_capacity{HERE}) > 0))",
            unit="percentunit",
            steps=rising(0.5, 0.9),
        ),
        Panel(
            title="Queues",
            help="kernel: connections that nobody has accepted. executor: requests that wait for a "
            "thread. admission: callers that wait for a connection. writer: units that wait for "
            "DuckDB's writer. pgbouncer: clients of all hosts that wait there for a connection to "
            "the database; each host tells of all, so the largest counts.",
            unit="short",
            queries=(
                Query('sum by (queue) (guard_queue_depth{HERE, queue!="pgbouncer"})', "{{queue}}"),
                Query('max(guard_queue_depth{HERE, queue="pgbouncer"})', "pgbouncer"),
            ),
            width=10,
        ),
        Panel(
            title="Queues, of their capacity",
            help="A queue without a bound of its own is not shown.",
            unit="percentunit",
            queries=(
                Query(
                    "sum by (queue) (guard_queue_depth{HERE})"
                    " / (sum by (queue) (guard_queue_capacity{HERE}) > 0)",
                    "{{queue}}",
                ),
            ),
            width=10,
            top=1.0,
        ),
        Panel(
            title="Wait before the guard",
            help="Time from accept to the guard. It should be a few milliseconds. If it grows and "
            "nothing is shed, the guard can't fire: GUARD_THREADS, GUARD_THREAD_RESERVE.",
            unit="s",
            queries=quantiles("guard_queue_wait_seconds", by="queue"),
        ),
        Panel(
            title="Wait for a connection",
            help="Bounded by GUARD_READ_WAIT_BUDGET and GUARD_WRITE_WAIT_BUDGET when the "
            "prediction is right.",
            unit="s",
            queries=quantiles("guard_pool_acquire_wait_seconds", by="pool"),
        ),
        Panel(
            title="Callers that wait for a connection",
            help="At the moment of the scrape. Bounded by GUARD_READ_WAITERS and "
            "GUARD_WRITE_WAITERS in each worker.",
            unit="short",
            queries=(Query("sum by (pool) (guard_pool_waiters{HERE})", "{{pool}}"),),
        ),
        Panel(
            title="Wait in PgBouncer",
            help="For how long the first in PgBouncer's queue has waited. Over half of the smaller "
            "wait budget the lanes lend only what PgBouncer serves. Nothing without "
            "GUARD_PGBOUNCER_ADMIN_URL.",
            unit="s",
            queries=(
                Query("max(guard_pgbouncer_wait_oldest_seconds{HERE})", "first in the queue"),
            ),
        ),
        Panel(
            title="PgBouncer's connections to the database",
            help="Where all are active and clients wait, its default_pool_size is the bottleneck: "
            "enlarge it if the database has room.",
            unit="short",
            queries=(
                Query("max by (state) (guard_pgbouncer_server_connections{HERE})", "{{state}}"),
            ),
        ),
        Panel(
            title="Waits given up",
            help="Callers that got no connection in time, each second. They were admitted and "
            "refused late: the prediction was wrong, or the database stalled.",
            unit="reqps",
            queries=(
                Query(
                    "sum by (pool) (rate(guard_pool_acquire_wait_seconds_count"
                    '{HERE, outcome="timeout"}[$__rate_interval]))',
                    "{{pool}}",
                ),
            ),
        ),
        Panel(
            title="Writes per commit",
            help="Mean number of units that DuckDB's writer commits together. It grows with the "
            "load; at GUARD_WRITE_BATCH_MAX the disk is what limits.",
            unit="short",
            queries=(
                Query(
                    "sum(rate(guard_db_batch_units_sum{HERE}[$__rate_interval]))"
                    " / sum(rate(guard_db_batch_units_count{HERE}[$__rate_interval]))",
                    "units",
                ),
            ),
        ),
    ),
)
