"""What is shed, and why?"""

from __future__ import annotations

from typing import Final

from dashboards.model import Look, Panel, Query, Section, answer, quantiles, rising

_DECISIONS: Final = "rate(guard_admission_decisions_total{HERE%s}[$__rate_interval])"
_SHED: Final = _DECISIONS % ', decision="shed"'
_REASONS: Final = _DECISIONS % ', decision="shed", reason!~"ok|exempt"'
_WOULD_SHED: Final = _DECISIONS % ', decision="would_shed"'
_ALL: Final = _DECISIONS % ""

SHEDDING: Final = Section(
    "What is shed, and why?",
    (
        answer(
            "Shed",
            "Share of all requests that the guard refuses now. The panels beside it tell the "
            "reason, and the reason tells the remedy.",
            f"sum({_SHED}) / sum({_ALL})",
            unit="percentunit",
            steps=rising(0.001, 0.05),
        ),
        Panel(
            title="Refusals by reason",
            help="pool_saturated: more connections if the database has room, else cheaper queries. "
            "queue_delay: the process is out of CPU, more workers. threads_exhausted: slow "
            "clients. low_priority, unfair_share: the rest is kept for other classes or clients. "
            "breaker_open: the database fails. deadline: the answer would be late.",
            unit="reqps",
            queries=(Query(f"sum by (reason) ({_REASONS})", "{{reason}}"),),
            look=Look.STACKED,
            width=10,
        ),
        Panel(
            title="Requests by decision",
            help="Every request once: admitted, shed, would_shed (shadow mode), bypassed "
            "(exempt, or it needs no database), dropped (its client hung up in the queue), or "
            "cached, deferred (no room for it: a kept answer was given, its write was put off).",
            unit="reqps",
            queries=(Query(f"sum by (decision) ({_ALL})", "{{decision}}"),),
            look=Look.STACKED,
            width=10,
        ),
        Panel(
            title="Share that is shed, by lane",
            help="One lane alone: its pool, its queries or, for writes, a lock is the cause. Both "
            "at once: CPU, threads or the database as a whole.",
            unit="percentunit",
            queries=(Query(f"sum by (lane) ({_SHED}) / sum by (lane) ({_ALL})", "{{lane}}"),),
            top=1.0,
        ),
        Panel(
            title="Retry-After",
            help="When refused clients are asked to come back. At GUARD_RETRY_AFTER_MAX the spare "
            "capacity is promised for as long as can be: they will meet at the end of it.",
            unit="s",
            queries=quantiles("guard_retry_after_seconds"),
        ),
        Panel(
            title="Promises kept",
            help="Of the Retry-After appointments whose second has passed, the share that was "
            "served. Low: more comes back than was promised room, or the capacity fell.",
            unit="percentunit",
            queries=(
                Query(
                    "sum by (lane) (rate(guard_retry_promises_kept_total{HERE}[$__rate_interval]))"
                    " / sum by (lane) "
                    "(rate(guard_retry_promises_due_total{HERE}[$__rate_interval]))",
                    "{{lane}}",
                ),
            ),
            top=1.0,
        ),
        Panel(
            title="Time that a refusal takes",
            help="Inside the guard. It should stay near a millisecond: a slow refusal is one that "
            "holds a thread.",
            unit="s",
            queries=quantiles("guard_shed_duration_seconds"),
        ),
        Panel(
            title="Hot reads by result",
            help="hit: given again while it is fresh. shared: waited for what another request "
            "computed. miss: computed. stale: a late answer in place of a refusal. Nothing where "
            "GUARD_CACHE is off; all misses: GUARD_CACHE_TTL is short, or Redis is away.",
            unit="reqps",
            queries=(
                Query(
                    "sum by (result) (rate(guard_cache_requests_total{HERE}[$__rate_interval]))",
                    "{{result}}",
                ),
            ),
            look=Look.STACKED,
        ),
        Panel(
            title="Hot reads: failed questions to Redis",
            help="Each is followed by a pause in which the worker does without the cache.",
            unit="reqps",
            queries=(
                Query(
                    "sum(rate(guard_cache_store_errors_total{HERE}[$__rate_interval]))", "failed"
                ),
                Query("sum(guard_cache_store_up{HERE})", "workers that reach it"),
            ),
        ),
        Panel(
            title="Writes that are put off",
            help="Waiting: they are answered 202 and run when there is room; at GUARD_JOBS_MAX "
            "further ones are refused. It grows while the write lane has none.",
            unit="short",
            queries=(Query("max(guard_jobs_waiting{HERE})", "waiting"),),
        ),
        Panel(
            title="Writes put off and run",
            help="accepted: answered 202. done: run. full: refused at GUARD_JOBS_MAX. error: the "
            "queue could not be reached.",
            unit="reqps",
            queries=(
                Query(
                    "sum by (result) (rate(guard_jobs_total{HERE}[$__rate_interval]))", "{{result}}"
                ),
            ),
        ),
        Panel(
            title="Shadow mode: would be shed",
            help="What GUARD_MODE=shadow admits although the rules refuse it.",
            unit="reqps",
            queries=(Query(f"sum by (lane) ({_WOULD_SHED})", "{{lane}}"),),
            look=Look.STACKED,
        ),
        Panel(
            title="Shadow mode: how long these took",
            help="Duration of the requests that would have been shed. Long ones are those that "
            "enforce would have saved from waiting.",
            unit="s",
            queries=quantiles("guard_would_shed_duration_seconds"),
        ),
    ),
)
