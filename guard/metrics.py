"""The table of all metrics: one place from which the board's layout, the export and the docs come.

Names follow Prometheus' conventions: base units, a level and its capacity as two metrics,
``_total`` for counters. Utilisation is a query over two of them (a ratio can't be summed).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import product
from typing import NamedTuple

from guard.core.vocabulary import BreakerPhase, Lane, Outcome, Reason

REQUEST_BUCKETS_S = (
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
)  # fmt: skip
WAIT_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SHED_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1)
RETRY_BUCKETS_S = (1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0)
BATCH_BUCKETS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)

ERROR_KINDS = (
    "unreachable",
    "resources",
    "read_only",
    "timeout",
    "conflict",
    "constraint",
    "statement",
    "busy",
    "internal",
)
"""The closed set of database error kinds."""

LANES = tuple(lane.value for lane in Lane)
DECISIONS = ("admitted", "shed", "would_shed", "bypassed", "dropped", "cached", "deferred")
PGBOUNCER = "pgbouncer"
QUEUES = ("kernel", "executor", "admission", "writer", PGBOUNCER)
POOL_STATES = ("in_use", "idle")
OUTCOMES = tuple(outcome.value for outcome in Outcome)
PHASES = tuple(phase.value for phase in BreakerPhase)
PROBE_OUTCOMES = ("ok", "failure")
CACHE_RESULTS = ("hit", "shared", "miss", "stale")
JOB_RESULTS = ("accepted", "full", "error", "done")
MARKED_READS = ("fresh", "waited", "primary")


class Kind(StrEnum):
    """A metric's type, with Prometheus' names."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Merge(StrEnum):
    """How the workers' values of a gauge become one."""

    SUM = "sum"
    MAX = "max"
    LEAST = "least"
    """The smallest above 0, which is what a worker tells that has not told it yet."""


@dataclass(frozen=True, eq=False)
class Metric:
    """One metric. Identity is the object itself, so that a look-up needs no string hashing.

    Attributes:
        name: the full name as exported (counters end in ``_total``).
        kind: counter, gauge or histogram.
        help: one sentence for people, with the unit.
        labels: label names.
        known: for each label its known values; all combinations exist from the start with
            0. Empty where the values only show at run time (routes).
        buckets: upper bounds of a histogram, ascending, without +Inf.
        merge: how a gauge is merged over workers.
        of_host: label values of which every worker tells the same, so that the largest counts.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    known: tuple[tuple[str, ...], ...] = ()
    buckets: tuple[float, ...] = ()
    merge: Merge = Merge.SUM
    of_host: frozenset[str] = frozenset()

    def merge_of(self, labels: tuple[str, ...]) -> Merge:
        """Return how a gauge's label set is merged over workers."""
        return Merge.MAX if self.of_host.intersection(labels) else self.merge

    def known_label_sets(self) -> list[tuple[str, ...]]:
        """Return every label set that exists from the start."""
        return [] if len(self.known) != len(self.labels) else list(product(*self.known))


class Sample(NamedTuple):
    """One label set's total over all workers.

    Attributes:
        metric: what is measured.
        labels: label values in the order of ``metric.labels``.
        value: a counter's or gauge's value; for a histogram the sum of all observations.
        counts: for a histogram the observations per bucket, *not* cumulative, the last one
            being +Inf's; empty otherwise.
    """

    metric: Metric
    labels: tuple[str, ...]
    value: float
    counts: tuple[float, ...] = ()


def _counter(name: str, text: str, **known: tuple[str, ...]) -> Metric:
    return Metric(name, Kind.COUNTER, text, tuple(known), _known(known))


def _gauge(name: str, text: str, merge: Merge = Merge.SUM, **known: tuple[str, ...]) -> Metric:
    return Metric(name, Kind.GAUGE, text, tuple(known), _known(known), merge=merge)


def _histogram(
    name: str, text: str, buckets: tuple[float, ...], **known: tuple[str, ...]
) -> Metric:
    return Metric(name, Kind.HISTOGRAM, text, tuple(known), _known(known), buckets)


def _known(labels: dict[str, tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    # One label whose values are unknown leaves the whole metric without known sets.
    return tuple(labels.values()) if all(labels.values()) else ()


DECISIONS_TOTAL = _counter(
    "guard_admission_decisions_total",
    "Requests by what was decided about them and why; one per request.",
    decision=DECISIONS, reason=tuple(reason.value for reason in Reason), lane=LANES,
)  # fmt: skip
INFLIGHT = _gauge("guard_inflight_requests", "Requests that hold a permit.", lane=LANES)
LIMIT = _gauge("guard_concurrency_limit", "Permits that can be held at once.", lane=LANES)
QUEUE_DEPTH = replace(
    _gauge(
        "guard_queue_depth",
        "What waits: connections to be accepted, requests for a thread, for a pool's connection, "
        "and writes for DuckDB's writer. Each is in one queue. In PgBouncer's wait clients of all "
        "hosts, and each worker tells of all of them.",
        queue=QUEUES,
    ),
    of_host=frozenset({PGBOUNCER}),
)
QUEUE_CAPACITY = _gauge("guard_queue_capacity", "Places in a queue.", queue=QUEUES)
QUEUE_WAIT = _histogram(
    "guard_queue_wait_seconds", "Time from accept to the guard.", WAIT_BUCKETS_S,
    queue=("kernel", "executor"),
)  # fmt: skip
POOL_CONNECTIONS = _gauge(
    "guard_pool_connections", "Working connections by state.", pool=LANES, state=POOL_STATES
)
POOL_MAX = _gauge("guard_pool_connections_max", "Connections asked for.", pool=LANES)
POOL_WAITERS = _gauge("guard_pool_waiters", "Callers that wait for a connection.", pool=LANES)
ACQUIRE_WAIT = _histogram(
    "guard_pool_acquire_wait_seconds", "Wait for a connection.", WAIT_BUCKETS_S,
    pool=LANES, outcome=("ok", "timeout"),
)  # fmt: skip
POOL_USE = _histogram(
    "guard_pool_use_seconds", "Time for which a connection was held.", WAIT_BUCKETS_S,
    pool=LANES, outcome=OUTCOMES,
)  # fmt: skip
POOL_SATURATED = _counter(
    "guard_pool_saturated_seconds_total", "Time with no idle connection.", pool=LANES
)
QUERY_DURATION = _histogram(
    "guard_db_query_duration_seconds", "Duration of one statement.", WAIT_BUCKETS_S,
    pool=LANES, outcome=OUTCOMES,
)  # fmt: skip
DB_ERRORS = _counter("guard_db_errors_total", "Database errors.", pool=LANES, kind=ERROR_KINDS)
BATCH_SIZE = _histogram(
    "guard_db_batch_units", "Units committed together by the writer.", BATCH_BUCKETS
)
LOCK_WAIT = _histogram(
    "guard_db_lock_wait_seconds", "Wait for the single writer (DuckDB).", WAIT_BUCKETS_S, pool=LANES
)
LOCK_WAITED_TOTAL = _counter(
    "guard_db_lock_waited_seconds_total",
    "Time spent waiting for locks, integrated from samples (PostgreSQL).",
    pool=LANES,
)
LOCK_WAITERS = _gauge("guard_db_lock_waiters", "Connections that wait for a lock.", pool=LANES)
LOCK_WAIT_OLDEST = _gauge(
    "guard_db_lock_wait_oldest_seconds", "Age of the oldest lock wait.", Merge.MAX, pool=LANES
)
PGBOUNCER_WAIT_OLDEST = _gauge(
    "guard_pgbouncer_wait_oldest_seconds",
    "For how long the first in PgBouncer's queue has waited for a connection to the database.",
    Merge.MAX,
)
PGBOUNCER_SERVERS = _gauge(
    "guard_pgbouncer_server_connections",
    "PgBouncer's connections to the database, in the pools that this host uses.", Merge.MAX,
    state=("active", "idle"),
)  # fmt: skip
REPLICA_LAG = _gauge(
    "guard_replica_lag_seconds", "How far a replica is behind its primary, as last seen.",
    Merge.MAX, replica=(),
)  # fmt: skip
REPLICA_WORKERS = _gauge(
    "guard_replica_workers", "Workers that may read from a replica; 0: it is out.", replica=()
)
MARKED_READS_TOTAL = _counter(
    "guard_replica_marked_reads_total",
    "Reads that had to see a write of their client: the replica had it (fresh), had it after a "
    "wait (waited), or the primary was asked.",
    outcome=MARKED_READS,
)
BREAKER_STATE = _gauge(
    "guard_breaker_state", "1 for the state in which the host's breaker is, else 0.", Merge.MAX,
    breaker=LANES, state=PHASES,
)  # fmt: skip
BREAKER_TRANSITIONS = _counter(
    "guard_breaker_transitions_total",
    "Changes of a breaker's state, each counted once for the host.",
    **{"breaker": LANES, "from": PHASES, "to": PHASES},
)  # fmt: skip
BREAKER_CALLS = _counter(
    "guard_breaker_calls_total", "Outcomes seen by a breaker.", breaker=LANES, outcome=OUTCOMES
)
BREAKER_PROBES = _counter(
    "guard_breaker_probes_total", "Probes by how they ended.", breaker=LANES, outcome=PROBE_OUTCOMES
)
BREAKER_OPENED = _gauge(
    "guard_breaker_opened_timestamp_seconds",
    "When the breaker last opened, seconds since 1970; 0 before it ever did.", Merge.MAX,
    breaker=LANES,
)  # fmt: skip
BREAKER_SHARE = _gauge(
    "guard_breaker_admitted_ratio",
    "Share of the requests that the breaker lets through, 0 to 1.", Merge.MAX, breaker=LANES,
)  # fmt: skip
BREAKER_STORE_UP = _gauge(
    "guard_breaker_shared_store_up",
    "1 while this host exchanges its breakers' state with others over Redis, else 0.", Merge.MAX,
)  # fmt: skip
BREAKER_STORE_ERRORS = _counter(
    "guard_breaker_shared_store_errors_total", "Exchanges with Redis that failed."
)
BREAKER_PROBE_DUE = _gauge(
    "guard_breaker_probe_due_seconds", "Time until a breaker's next probe; 0 while it is closed.",
    Merge.MAX, breaker=LANES,
)  # fmt: skip
HTTP_DURATION = _histogram(
    "guard_http_request_duration_seconds",
    "Duration of admitted requests, until the body was closed.", REQUEST_BUCKETS_S,
    method=(), route=(),
)  # fmt: skip
HTTP_RESPONSES = _counter(
    "guard_http_responses_total", "All responses, also refusals.", method=(), route=(), code=()
)
SHED_DURATION = _histogram(
    "guard_shed_duration_seconds", "Time that a refusal took inside the guard.", SHED_BUCKETS_S
)
RETRY_AFTER = _histogram(
    "guard_retry_after_seconds", "Retry-After values that were sent.", RETRY_BUCKETS_S
)
RETRY_PROMISES_DUE = _counter(
    "guard_retry_promises_due_total",
    "Retry-After promises whose second has passed, where anybody came in it.",
    lane=LANES,
)
RETRY_PROMISES_KEPT = _counter(
    "guard_retry_promises_kept_total",
    "Of these, those that were kept: weighted by the share of that second's arrivals that was "
    "served.",
    lane=LANES,
)
WOULD_SHED_DURATION = _histogram(
    "guard_would_shed_duration_seconds",
    "Duration of requests that shadow mode would have shed.", REQUEST_BUCKETS_S,
)  # fmt: skip
WORKERS = _gauge("guard_workers", "Worker processes that measure into the board.")
WORKER_RECYCLES = _counter("guard_worker_recycles_total", "Workers that have ended.")
BACKEND_INFO = _gauge(
    "guard_backend_info",
    "Always 1; the label names the database: duckdb, postgres, or none.",
    Merge.MAX,
    backend=(),
)
WORKER_READY = _gauge("guard_workers_ready", "Workers that are open for requests.")
CONFIG_GENERATION = _gauge(
    "guard_config_generation",
    "Number of the settings that are in force in every worker; 1 at the start.", Merge.LEAST,
)  # fmt: skip
CONFIG_SUCCESSFUL = _gauge(
    "guard_config_last_reload_successful",
    "1 where the settings were right when they were last read, 0 where the older ones stay.",
    Merge.MAX,
)
CONFIG_LOADED = _gauge(
    "guard_config_last_reload_success_timestamp_seconds",
    "When settings were last read and right, seconds since 1970.", Merge.MAX,
)  # fmt: skip
CONFIG_WAITING = _gauge(
    "guard_config_restart_needed",
    "Settings that were changed in the file and need a reload or a restart.",
    Merge.MAX,
)
ADAPTIVE_SLOTS = _gauge(
    "guard_adaptive_slots",
    "Connections that may be used at once: the pool's, or fewer with GUARD_ADAPTIVE.",
    lane=LANES,
)
CACHE_REQUESTS = _counter(
    "guard_cache_requests_total",
    "Requests whose answers are kept: hit (a fresh one), shared (what another request computed), "
    "miss (computed), stale (a late one in place of a refusal).",
    result=CACHE_RESULTS,
)
CACHE_STORE_UP = _gauge(
    "guard_cache_store_up", "Workers whose last question to the cache's Redis was answered.",
)  # fmt: skip
CACHE_STORE_ERRORS = _counter(
    "guard_cache_store_errors_total", "Questions to the cache's Redis that failed."
)
JOBS = _counter(
    "guard_jobs_total",
    "Writes that were put off (accepted), or not since the queue was full or could not be reached "
    "(error), and those that were run (done; a second run counts again).",
    result=JOB_RESULTS,
)
JOBS_WAITING = _gauge("guard_jobs_waiting", "Writes that are put off and not yet run.", Merge.MAX)

ALL: tuple[Metric, ...] = tuple(value for value in vars().values() if isinstance(value, Metric))
"""Every metric that workers record, in the order above."""
