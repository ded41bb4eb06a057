"""Is the database sick?"""

from __future__ import annotations

from typing import Final

from dashboards.model import Look, Panel, Query, Section, answer, quantiles, rising

DATABASE: Final = Section(
    "Is the database sick?",
    (
        answer(
            "Breakers not closed",
            "Breakers that are open or half-open now, over all hosts. While one is open, the lane "
            "answers breaker_open and only a probe reaches the database.",
            'sum(guard_breaker_state{HERE, state!="closed"})',
            unit="short",
            steps=rising(1, 2),
        ),
        Panel(
            title="Breakers",
            help="Hosts by the state of their breaker, without the closed ones.",
            unit="short",
            queries=(
                Query(
                    'sum by (breaker, state) (guard_breaker_state{HERE, state!="closed"})',
                    "{{breaker}} {{state}}",
                ),
            ),
            look=Look.STACKED,
            width=10,
        ),
        Panel(
            title="Errors by kind",
            help="unreachable, resources, internal and read_only are the database's; timeout is a "
            "statement over GUARD_STATEMENT_TIMEOUT; constraint and statement are the caller's.",
            unit="cps",
            queries=(
                Query(
                    "sum by (kind) (rate(guard_db_errors_total{HERE}[$__rate_interval]))",
                    "{{kind}}",
                ),
            ),
            look=Look.STACKED,
            width=10,
        ),
        Panel(
            title="Failures that the breakers count",
            help="Share of failures among the outcomes. Over GUARD_BREAKER_FAILURE_RATIO within "
            "GUARD_BREAKER_WINDOW the breaker opens.",
            unit="percentunit",
            queries=(
                Query(
                    "sum by (breaker) (rate(guard_breaker_calls_total"
                    '{HERE, outcome="failure"}[$__rate_interval]))'
                    " / sum by (breaker) (rate(guard_breaker_calls_total{HERE}[$__rate_interval]))",
                    "{{breaker}}",
                ),
            ),
            top=1.0,
        ),
        Panel(
            title="Changes of the breakers' state",
            help="Each change to a state. Open again and again: the database comes and goes, or "
            "the window is too short for the traffic (GUARD_BREAKER_MIN_CALLS).",
            unit="short",
            queries=(
                Query(
                    "sum by (breaker, to) (increase(guard_breaker_transitions_total{HERE}"
                    "[$__rate_interval]))",
                    "{{breaker}} to {{to}}",
                ),
            ),
            look=Look.STACKED,
        ),
        Panel(
            title="Let through by the breaker",
            help="Share of the requests that the breaker of the most cautious host lets through: "
            "1 while it is closed, rising again after an outage.",
            unit="percentunit",
            queries=(
                Query("min by (breaker) (guard_breaker_admitted_ratio{HERE})", "{{breaker}}"),
            ),
            top=1.0,
        ),
        Panel(
            title="Probes",
            help="By how they ended. Probes that fail say that the database is still away; see "
            "GUARD_PROBE_TIMEOUT if they time out while it answers others.",
            unit="short",
            queries=(
                Query(
                    "sum by (breaker, outcome) (increase(guard_breaker_probes_total{HERE}"
                    "[$__rate_interval]))",
                    "{{breaker}} {{outcome}}",
                ),
            ),
            look=Look.STACKED,
        ),
        Panel(
            title="Since a breaker opened",
            help="Time since the breaker last opened on any host; nothing if it never did.",
            unit="s",
            queries=(
                Query(
                    "min by (breaker) (time() - "
                    "(guard_breaker_opened_timestamp_seconds{HERE} > 0))",
                    "{{breaker}}",
                ),
            ),
        ),
        Panel(
            title="Breakers shared with other hosts",
            help="Hosts that exchange their breakers' state over Redis, and exchanges that failed. "
            "Where no Redis is set both are 0; without it each host finds out by itself.",
            unit="short",
            queries=(
                Query("sum(guard_breaker_shared_store_up{HERE})", "hosts that exchange"),
                Query(
                    "sum(increase(guard_breaker_shared_store_errors_total{HERE}"
                    "[$__rate_interval]))",
                    "failed exchanges",
                ),
            ),
        ),
        Panel(
            title="Statements",
            help="Duration of a statement. If this grows with a steady load, the database is "
            "slower: look at its plans, its disk, its locks.",
            unit="s",
            queries=quantiles("guard_db_query_duration_seconds", by="pool"),
        ),
        Panel(
            title="Time for which a connection is held",
            help="The admission multiplies this by the queue to predict the wait. Much longer than "
            "the statements: the application works while it holds a connection.",
            unit="s",
            queries=quantiles("guard_pool_use_seconds", by="pool"),
        ),
        Panel(
            title="Replicas' lag",
            help="How far each replica is behind its primary. Beyond GUARD_REPLICA_LAG_MAX it is "
            "not read from. A bare 0 where no replicas are watched.",
            unit="s",
            queries=(
                Query(
                    "max by (replica) (guard_replica_lag_seconds{HERE}) or vector(0)", "{{replica}}"
                ),
            ),
        ),
        Panel(
            title="Workers that read from each replica",
            help="Below the number of workers it lags, does not answer, or has just come back; at "
            "0 everywhere all reads are the primary's.",
            unit="short",
            queries=(
                Query("sum by (replica) (guard_replica_workers{HERE}) or vector(0)", "{{replica}}"),
            ),
        ),
        Panel(
            title="Reads after a write",
            help="Reads whose client has just written: the replica had it (fresh) or had it within "
            "GUARD_REPLICA_WAIT (waited), or the primary was asked.",
            unit="reqps",
            queries=(
                Query(
                    "sum by (outcome) (rate(guard_replica_marked_reads_total{HERE}"
                    "[$__rate_interval]))",
                    "{{outcome}}",
                ),
            ),
            look=Look.STACKED,
        ),
        Panel(
            title="Lock waits now",
            help="Connections that wait for a lock, and the age of the oldest wait in seconds "
            "(PostgreSQL). A convoy sheds writes; find who blocks with pg_blocking_pids().",
            unit="short",
            queries=(
                Query("sum by (pool) (guard_db_lock_waiters{HERE})", "{{pool}} waiters"),
                Query(
                    "max by (pool) (guard_db_lock_wait_oldest_seconds{HERE})", "{{pool}} oldest, s"
                ),
            ),
        ),
        Panel(
            title="Waiting for locks, on average",
            help="PostgreSQL: seconds waited per second, so the mean number of waiters.",
            unit="short",
            queries=(
                Query(
                    "sum by (pool) (rate(guard_db_lock_waited_seconds_total{HERE}"
                    "[$__rate_interval]))",
                    "{{pool}}",
                ),
            ),
        ),
        Panel(
            title="Wait for DuckDB's writer",
            help="The lock wait of DuckDB, which has one writer.",
            unit="s",
            queries=quantiles("guard_db_lock_wait_seconds", matchers='pool="write"'),
        ),
    ),
)
