"""The settings: each with its name, type, default, unit, range and help in this one place."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from guard.core.sizing import POOL_MAX, WAITERS_MAX
from guard.core.vocabulary import Mode, Policy, QueueOrder, RetryPolicy

Unit = Literal[
    "",
    "seconds",
    "requests",
    "connections",
    "threads",
    "workers",
    "ratio",
    "rows",
    "MiB",
    "answers",
]
Form = Literal[
    "", "database", "redis", "address", "token", "uri", "path", "route", "header", "peer"
]
Reload = Literal["live", "restart"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """How one setting is read, checked and explained.

    Attributes:
        env: the environment variable.
        help: what it does, one or two sentences.
        unit: the unit of the value; durations take ``250ms``, ``1.5s``, ``2m`` or bare seconds.
        low: smallest allowed value, or None.
        high: largest allowed value, or None.
        choices: the allowed words, or none.
        derived: how the value is found where it is not given; empty where ``default`` is it.
        secret: True where the value may hold a password; then ``<env>_FILE`` is read too and
            the value is never shown whole.
        watch: the metric that tells you to change it.
        form: what a text must look like; a tuple's each element.
        reload: ``live`` where a change in the settings' file takes effect in the running workers,
            ``restart`` where it waits for new ones.
    """

    env: str
    help: str
    unit: Unit = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    derived: str = ""
    secret: bool = False
    watch: str = ""
    form: Form = ""
    reload: Reload = "restart"


def _setting(default: Any, env: str, text: str, **options: Any) -> Any:  # noqa: ANN401
    spec = Spec(env=env, help=text, **options)
    # A secret stays out of repr(), and so out of tracebacks and logs.
    return field(default=default, repr=not spec.secret, metadata={"spec": spec})


def _live(default: Any, env: str, text: str, **options: Any) -> Any:  # noqa: ANN401
    return _setting(default, env, text, reload="live", **options)


_CORES = "from the database and the number of cores"
_THREADS = "from the database, and from GUARD_THREADS where it is given"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, checked; every number in the unit that its name says. Immutable.

    Make one with ``guard.settings.load``; a direct construction is not checked. Fields that
    are derived hold 0 until ``load`` has filled them in.
    """

    database_url: str = _setting(
        "", "GUARD_DATABASE_URL",
        "Where the data is: duckdb:///relative.duckdb, duckdb:////absolute.duckdb "
        "or postgresql://user:password@host:port/name. Empty: no database of Guard's own, whole "
        "requests are limited.", secret=True, form="database",
    )  # fmt: skip
    database_read_url: str = _setting(
        "", "GUARD_DATABASE_READ_URL",
        "Another PostgreSQL host for the read lane, or several: postgresql://user@a,b/name; empty: "
        "the same as GUARD_DATABASE_URL.",
        secret=True, form="database", watch="guard_replica_lag_seconds",
    )  # fmt: skip
    replica_lag_max_s: float = _setting(
        0.0, "GUARD_REPLICA_LAG_MAX",
        "The hosts of GUARD_DATABASE_READ_URL are replicas; one that is further behind, or does "
        "not answer, is not read from, and the primary where no replica may be. 0: nobody looks.",
        unit="seconds", low=0.0, high=3600.0, watch="guard_replica_lag_seconds",
    )  # fmt: skip
    replica_wait_s: float = _setting(
        0.1, "GUARD_REPLICA_WAIT",
        "How long a read that must see its client's write waits for a replica to have it before "
        "it goes to the primary.",
        unit="seconds", low=0.0, high=30.0, watch="guard_replica_marked_reads_total",
    )  # fmt: skip
    read_your_writes_key: str = _setting(
        "", "GUARD_READ_YOUR_WRITES_KEY",
        "Signs the reference service's cookie that tells what its client has written, so that it "
        "reads that from replicas too; the same on all hosts. Empty: no cookie.",
        secret=True, form="token", watch="guard_replica_marked_reads_total",
    )  # fmt: skip
    pgbouncer: bool = _setting(
        False,  # noqa: FBT003 - the default
        "GUARD_PGBOUNCER",
        "Whether the database URLs lead to PgBouncer in transaction mode: nothing is set for a "
        "session then, nothing prepared, and lock waits are not sampled.",
        watch="guard_queue_depth",
    )  # fmt: skip
    pgbouncer_admin_url: str = _setting(
        "", "GUARD_PGBOUNCER_ADMIN_URL",
        "postgresql://user:password@host:port/pgbouncer: PgBouncer's console, asked five times a "
        "second by each worker for who waits. While that takes longer than half the smaller wait "
        "budget, a lane lends only as many connections as PgBouncer serves. Empty: nobody looks.",
        secret=True, form="database", watch="guard_pgbouncer_wait_oldest_seconds",
    )  # fmt: skip
    port: int = _setting(
        8000, "PORT",
        "TCP port of the service. Where it is set, gunicorn listens on all interfaces; "
        "where not, on 127.0.0.1.", low=1, high=65535,
    )  # fmt: skip
    admin_bind: str = _setting(
        "127.0.0.1:8001", "GUARD_ADMIN_BIND",
        "host:port of the operator's page, /status, /metrics, /livez and /readyz; off turns the "
        "listener off. Off loopback it needs GUARD_ADMIN_TOKEN.",
        form="address",
    )  # fmt: skip
    admin_token: str = _setting(
        "", "GUARD_ADMIN_TOKEN",
        "What the admin listener wants to hear, as a bearer token or as the password of a "
        "browser's login; at least 16 letters. /livez and /readyz stay open. Empty: on loopback "
        "everybody may look.", secret=True, form="token",
    )  # fmt: skip
    mode: Mode = _live(  # noqa: RUF009 - makes a field, as dataclasses.field does
        Mode.ENFORCE, "GUARD_MODE",
        "enforce sheds; shadow only counts what it would have shed; off decides nothing. "
        "GUARD_DEADLINE ends a wait for the database in each of them.",
        choices=tuple(Mode), watch="guard_admission_decisions_total",
    )  # fmt: skip
    policy: Policy = _live(  # noqa: RUF009 - the same
        Policy.PREDICTIVE, "GUARD_POLICY",
        "predictive sheds by the expected wait; static by the share of the pool in use.",
        choices=tuple(Policy), watch="guard_pool_acquire_wait_seconds",
    )  # fmt: skip
    pool_threshold_ratio: float = _live(
        0.9, "GUARD_POOL_THRESHOLD", "Static policy: shed when unfinished >= this x slots.",
        unit="ratio", low=0.05, high=1.0, watch="guard_pool_connections",
    )  # fmt: skip
    workers: int = _setting(
        0, "GUARD_WORKERS", "Worker processes; exactly 1 with DuckDB.",
        unit="workers", low=1, high=64, derived=_CORES, watch="guard_workers_ready",
    )  # fmt: skip
    threads: int = _setting(
        0, "GUARD_THREADS", "Request threads of each worker.", unit="threads", low=3, high=1000,
        derived="read pool + read waiters + write pool + write waiters + reserve",
        watch="guard_queue_wait_seconds",
    )  # fmt: skip
    thread_reserve: int = _setting(
        0, "GUARD_THREAD_RESERVE",
        "Threads that database work never takes, so that a refusal or a health check finds one.",
        unit="threads", low=1, high=500, watch="guard_queue_wait_seconds",
        derived="max(2, an eighth of the threads that the lanes can hold, rounded up)",
    )  # fmt: skip
    read_pool_size: int = _setting(
        0, "GUARD_READ_POOL_SIZE", "Read connections of each worker.", unit="connections",
        low=1, high=POOL_MAX, derived=_CORES, watch="guard_pool_waiters",
    )  # fmt: skip
    write_pool_size: int = _setting(
        0, "GUARD_WRITE_POOL_SIZE", "Write connections of each worker; exactly 1 with DuckDB.",
        unit="connections", low=1, high=POOL_MAX, derived=_CORES, watch="guard_pool_waiters",
    )  # fmt: skip
    read_waiters: int = _live(
        0, "GUARD_READ_WAITERS", "Reads that may wait for a connection in each worker.",
        unit="requests", low=0, high=WAITERS_MAX, derived=_THREADS, watch="guard_pool_waiters",
    )  # fmt: skip
    write_waiters: int = _live(
        0, "GUARD_WRITE_WAITERS", "Writes that may wait for a connection in each worker.",
        unit="requests", low=0, high=WAITERS_MAX, derived=_THREADS, watch="guard_pool_waiters",
    )  # fmt: skip
    read_wait_budget_s: float = _live(
        0.2, "GUARD_READ_WAIT_BUDGET", "Longest expected wait with which a read is admitted.",
        unit="seconds", low=0.001, high=30.0, watch="guard_pool_acquire_wait_seconds",
    )  # fmt: skip
    write_wait_budget_s: float = _live(
        0.25, "GUARD_WRITE_WAIT_BUDGET", "Longest expected wait with which a write is admitted.",
        unit="seconds", low=0.001, high=30.0, watch="guard_pool_acquire_wait_seconds",
    )  # fmt: skip
    queue_order: QueueOrder = _live(  # noqa: RUF009 - the same
        QueueOrder.ARRIVAL, "GUARD_QUEUE_ORDER",
        "Whom a free connection goes to: arrival, who has waited longest; adaptive, who came last "
        "while the queue stands.",
        choices=tuple(QueueOrder), watch="guard_pool_acquire_wait_seconds",
    )  # fmt: skip
    deadline_s: float = _live(
        10.0, "GUARD_DEADLINE", "Every request must be answered within this time of its arrival.",
        unit="seconds", low=0.1, high=600.0, watch="guard_http_request_duration_seconds",
    )  # fmt: skip
    deadline_header: str = _setting(
        "X-Request-Timeout-Ms", "GUARD_DEADLINE_HEADER",
        "Request header in which a client says within how many milliseconds of its arrival the "
        "request must be answered; it can shorten GUARD_DEADLINE, never lengthen it. off: no "
        "client can.", form="header", watch="guard_admission_decisions_total",
    )  # fmt: skip
    trusted_proxies: tuple[str, ...] = _setting(
        (), "GUARD_TRUSTED_PROXIES",
        "Addresses or networks, comma-separated, of proxies in front whose headers about a request "
        "are believed: X-Request-Start, GUARD_PRIORITY_HEADER, GUARD_CLIENT_KEY_HEADER; * trusts "
        "every peer.", form="peer", watch="guard_queue_wait_seconds",
    )  # fmt: skip
    statement_timeout_s: float = _setting(
        5.0, "GUARD_STATEMENT_TIMEOUT", "A statement that runs longer is cancelled.",
        unit="seconds", low=0.01, high=600.0, watch="guard_db_query_duration_seconds",
    )  # fmt: skip
    connect_timeout_s: float = _setting(
        2.0, "GUARD_CONNECT_TIMEOUT", "Longest time for a new PostgreSQL connection.",
        unit="seconds", low=1.0, high=60.0, watch="guard_db_errors_total",
    )  # fmt: skip
    tcp_keepalive_s: float = _setting(
        5.0, "GUARD_TCP_KEEPALIVE",
        "After this long without a byte a PostgreSQL connection's peer is asked whether it lives; "
        "three questions without an answer end the connection. Whole seconds are taken.",
        unit="seconds", low=1.0, high=3600.0, watch="guard_db_errors_total",
    )  # fmt: skip
    tcp_user_timeout_s: float = _setting(
        10.0, "GUARD_TCP_USER_TIMEOUT",
        "A PostgreSQL connection ends when what was sent is not acknowledged for this long.",
        unit="seconds", low=0.1, high=3600.0, watch="guard_db_errors_total",
    )  # fmt: skip
    result_rows_max: int = _setting(
        10_000, "GUARD_RESULT_ROWS_MAX",
        "Most rows that one statement may return at once; a larger result is an error "
        "(fetching it would stop every other thread of the worker).",
        unit="rows", low=1, high=1_000_000, watch="guard_db_query_duration_seconds",
    )  # fmt: skip
    write_batch_max: int = _setting(
        128, "GUARD_WRITE_BATCH_MAX", "Most units that DuckDB's writer commits together.",
        unit="requests", low=1, high=1024, watch="guard_db_batch_units",
    )  # fmt: skip
    duckdb_memory_mib: int = _setting(
        512, "GUARD_DUCKDB_MEMORY", "DuckDB's memory limit; the process may go about 75 % over it.",
        unit="MiB", low=64, high=1_048_576,
    )  # fmt: skip
    lock_sample_s: float = _setting(
        0.2, "GUARD_LOCK_SAMPLE_INTERVAL", "How often PostgreSQL's lock waits are sampled.",
        unit="seconds", low=0.05, high=60.0, watch="guard_db_lock_waited_seconds_total",
    )  # fmt: skip
    breaker_mode: Literal["auto", "open", "closed", "metrics"] = _live(
        "auto", "GUARD_BREAKER",
        "auto decides; open and closed force the state; metrics only counts.",
        choices=("auto", "open", "closed", "metrics"), watch="guard_breaker_state",
    )  # fmt: skip
    breaker_failure_ratio: float = _live(
        0.5, "GUARD_BREAKER_FAILURE_RATIO",
        "Share of failures in the window that opens the breaker.",
        unit="ratio", low=0.01, high=1.0, watch="guard_breaker_calls_total",
    )  # fmt: skip
    breaker_min_calls: int = _live(
        5, "GUARD_BREAKER_MIN_CALLS", "Outcomes that the window must hold before the ratio counts.",
        unit="requests", low=1, high=10_000, watch="guard_breaker_calls_total",
    )  # fmt: skip
    breaker_window_s: float = _setting(
        10.0, "GUARD_BREAKER_WINDOW", "Length of the window over which outcomes are counted.",
        unit="seconds", low=1.0, high=600.0, watch="guard_breaker_calls_total",
    )  # fmt: skip
    breaker_slow_s: float = _setting(
        0.0, "GUARD_BREAKER_SLOW_CALL",
        "A connection that is held longer was slow; 0: durations open no breaker.",
        unit="seconds", low=0.0, high=600.0, watch="guard_pool_use_seconds",
    )  # fmt: skip
    breaker_slow_ratio: float = _live(
        0.8, "GUARD_BREAKER_SLOW_RATIO",
        "Share of slow connections in the window that opens the breaker.",
        unit="ratio", low=0.01, high=1.0, watch="guard_pool_use_seconds",
    )  # fmt: skip
    breaker_open_s: float = _live(
        0.5, "GUARD_BREAKER_OPEN", "First pause before a probe; doubles with each failed probe.",
        unit="seconds", low=0.1, high=300.0, watch="guard_breaker_transitions_total",
    )  # fmt: skip
    breaker_open_max_s: float = _live(
        1.5, "GUARD_BREAKER_OPEN_MAX",
        "Longest pause between probes: a database that is back is found so late at most. Only one "
        "worker of the host asks.",
        unit="seconds", low=0.1, high=600.0, watch="guard_breaker_probes_total",
    )  # fmt: skip
    breaker_ramp_s: float = _live(
        1.0, "GUARD_BREAKER_RAMP",
        "Time over which the requests come back after a good probe: 10, 25, 50, then 100 % of "
        "them, a quarter of it each; 0: all at once.",
        unit="seconds", low=0.0, high=600.0, watch="guard_breaker_admitted_ratio",
    )  # fmt: skip
    probe_timeout_s: float = _setting(
        0.5, "GUARD_PROBE_TIMEOUT", "Longest time for a probe.",
        unit="seconds", low=0.05, high=60.0, watch="guard_breaker_transitions_total",
    )  # fmt: skip
    breaker_redis_url: str = _setting(
        "", "GUARD_BREAKER_REDIS_URL",
        "redis://user:password@host:port/0: hosts tell each other of open breakers there. Empty: "
        "each host decides alone.",
        secret=True, form="redis", watch="guard_breaker_shared_store_up",
    )  # fmt: skip
    breaker_redis_prefix: str = _setting(
        "guard", "GUARD_BREAKER_REDIS_PREFIX",
        "Begin of the keys in Redis; the same on all hosts in front of one database.",
        watch="guard_breaker_shared_store_up",
    )  # fmt: skip
    cache: Literal["off", "memory", "redis"] = _setting(
        "off", "GUARD_CACHE",
        "Where answers to hot reads are kept: off, in each worker's memory, or in Redis for all "
        "hosts.", choices=("off", "memory", "redis"), watch="guard_cache_requests_total",
    )  # fmt: skip
    cache_routes: tuple[str, ...] = _setting(
        (), "GUARD_CACHE_ROUTES",
        "Paths whose GETs are kept, comma-separated; a trailing * matches any rest. The "
        "application may name others.", form="path", watch="guard_cache_requests_total",
    )  # fmt: skip
    cache_ttl_s: float = _setting(
        1.0, "GUARD_CACHE_TTL", "A kept answer is given again for this long.",
        unit="seconds", low=0.01, high=3600.0, watch="guard_cache_requests_total",
    )  # fmt: skip
    cache_stale_s: float = _setting(
        60.0, "GUARD_CACHE_STALE",
        "For this much longer it is given, marked as late, to a request that would be refused; "
        "0: never.", unit="seconds", low=0.0, high=86_400.0, watch="guard_cache_requests_total",
    )  # fmt: skip
    cache_entries: int = _setting(
        4096, "GUARD_CACHE_ENTRIES",
        "Most answers that each worker keeps in its memory, of at most 16 KiB each.",
        unit="answers", low=1, high=1_000_000, watch="guard_cache_requests_total",
    )  # fmt: skip
    cache_redis_url: str = _setting(
        "", "GUARD_CACHE_REDIS_URL",
        "redis://user:password@host:port/0, for GUARD_CACHE=redis.",
        secret=True, form="redis", watch="guard_cache_store_up",
    )  # fmt: skip
    cache_redis_prefix: str = _setting(
        "guard", "GUARD_CACHE_REDIS_PREFIX",
        "Begin of the keys in Redis; the same on all hosts of one application.",
        watch="guard_cache_store_up",
    )  # fmt: skip
    jobs: Literal["off", "local", "redis"] = _setting(
        "off", "GUARD_JOBS",
        "Where writes are put off that would be refused, on routes that allow it: off, in a local "
        "file, or in Redis.", choices=("off", "local", "redis"), watch="guard_jobs_waiting",
    )  # fmt: skip
    jobs_file: str = _setting(
        "jobs.sqlite", "GUARD_JOBS_FILE", "The file of GUARD_JOBS=local; on a local disk.",
    )  # fmt: skip
    jobs_max: int = _setting(
        10_000, "GUARD_JOBS_MAX", "Most writes that are put off at once; then they are refused.",
        unit="requests", low=1, high=1_000_000, watch="guard_jobs_waiting",
    )  # fmt: skip
    jobs_redis_url: str = _setting(
        "", "GUARD_JOBS_REDIS_URL",
        "redis://user:password@host:port/0, for GUARD_JOBS=redis. Its server must have appendonly "
        "yes, appendfsync always, and never evict.",
        secret=True, form="redis", watch="guard_jobs_total",
    )  # fmt: skip
    jobs_redis_prefix: str = _setting(
        "guard", "GUARD_JOBS_REDIS_PREFIX",
        "Begin of the keys in Redis; the same on all hosts in front of one database.",
    )  # fmt: skip
    retry_after_min_s: int = _live(
        1, "GUARD_RETRY_AFTER_MIN", "Smallest Retry-After.", unit="seconds", low=1, high=60,
        watch="guard_retry_after_seconds",
    )  # fmt: skip
    retry_after_max_s: int = _live(
        60, "GUARD_RETRY_AFTER_MAX",
        "Largest Retry-After. Twice the outage that shall be ridden out without a loss.",
        unit="seconds", low=1, high=60, watch="guard_retry_promises_kept_total",
    )  # fmt: skip
    retry_after_policy: RetryPolicy = _setting(  # noqa: RUF009 - the same
        RetryPolicy.BOOK, "GUARD_RETRY_AFTER_POLICY",
        "book promises each coming second only what can be served besides what comes anyway; "
        "spread draws at random.",
        choices=tuple(RetryPolicy), watch="guard_retry_promises_kept_total",
    )  # fmt: skip
    exempt_paths: tuple[str, ...] = _setting(
        ("/livez", "/readyz", "/metrics"), "GUARD_EXEMPT_PATHS",
        "Paths that are never shed, comma-separated; a trailing * matches any rest; a lone "
        "comma: none.",
        form="path", watch="guard_admission_decisions_total",
    )  # fmt: skip
    read_routes: tuple[str, ...] = _setting(
        (), "GUARD_READ_ROUTES",
        "Routes that read although their method writes, comma-separated: POST /search.",
        form="route", watch="guard_admission_decisions_total",
    )  # fmt: skip
    write_routes: tuple[str, ...] = _setting(
        (), "GUARD_WRITE_ROUTES",
        "Routes that write although their method reads, comma-separated: GET /visit.",
        form="route", watch="guard_admission_decisions_total",
    )  # fmt: skip
    critical_routes: tuple[str, ...] = _setting(
        (), "GUARD_CRITICAL_ROUTES",
        "Routes whose requests are shed last, comma-separated: POST /payment, GET /login*.",
        form="route", watch="guard_admission_decisions_total",
    )  # fmt: skip
    sheddable_routes: tuple[str, ...] = _setting(
        (), "GUARD_SHEDDABLE_ROUTES",
        "Routes whose requests are shed first, comma-separated: GET /suggest*.",
        form="route", watch="guard_admission_decisions_total",
    )  # fmt: skip
    priority_header: str = _setting(
        "off", "GUARD_PRIORITY_HEADER",
        "Header in which a trusted proxy says a request's class: critical, normal or sheddable; "
        "off: none.", form="header",
    )  # fmt: skip
    critical_share: float = _setting(
        0.0, "GUARD_CRITICAL_SHARE",
        "Share of a lane's permits that only critical requests may take.",
        unit="ratio", low=0.0, high=0.9, watch="guard_admission_decisions_total",
    )  # fmt: skip
    normal_budget_ratio: float = _setting(
        0.5, "GUARD_NORMAL_BUDGET",
        "Share of a lane's queue and wait budget that normal requests may use where there can be "
        "critical ones; where not, they may use all.",
        unit="ratio", low=0.0, high=1.0, watch="guard_admission_decisions_total",
    )  # fmt: skip
    sheddable_budget_ratio: float = _setting(
        0.25, "GUARD_SHEDDABLE_BUDGET",
        "Share of a lane's queue and wait budget that sheddable requests may use.",
        unit="ratio", low=0.0, high=1.0, watch="guard_admission_decisions_total",
    )  # fmt: skip
    fairness: Literal["off", "address", "header"] = _setting(
        "off", "GUARD_FAIRNESS",
        "How clients are told apart, so that none gets more than its fair share while a lane is "
        "short: off, by address, or by the header of a trusted proxy.",
        choices=("off", "address", "header"), watch="guard_admission_decisions_total",
    )  # fmt: skip
    client_key_header: str = _setting(
        "off", "GUARD_CLIENT_KEY_HEADER",
        "Header in which a trusted proxy names the client, for GUARD_FAIRNESS=header: X-Real-IP, "
        "or an API key's name.", form="header",
    )  # fmt: skip
    problem_type: str = _setting(
        "about:blank", "GUARD_PROBLEM_TYPE",
        "The type URI of a refusal's problem document; about:blank says nothing more "
        "than the status.", form="uri",
    )  # fmt: skip
    adaptive: bool = _live(
        False,  # noqa: FBT003 - the default
        "GUARD_ADAPTIVE",
        "Whether a lane uses fewer connections than its pool has while fewer serve more; with "
        "one worker only.",
        watch="guard_adaptive_slots",
    )  # fmt: skip
    log_level: Literal["debug", "info", "warning", "error"] = _live(
        "info", "GUARD_LOG_LEVEL", "Least severe messages that are logged.",
        choices=("debug", "info", "warning", "error"),
    )  # fmt: skip
    log_format: Literal["text", "json"] = _setting(
        "text", "GUARD_LOG_FORMAT", "text for people; json writes one JSON object per line.",
        choices=("text", "json"),
    )  # fmt: skip
    request_id: Literal["off", "accept", "generate"] = _setting(
        "accept", "GUARD_REQUEST_ID",
        "accept takes over a request's X-Request-ID, hands it back and writes it into log lines; "
        "generate makes one where there is none; off does neither.",
        choices=("off", "accept", "generate"),
    )  # fmt: skip
    status_show_queries: bool = _setting(
        False,  # noqa: FBT003 - the default
        "GUARD_STATUS_SHOW_QUERIES",
        "Whether the list of lock waits may show the statements' texts, which can hold data.",
        watch="guard_db_lock_waiters",
    )  # fmt: skip
    otel: bool = _setting(
        False,  # noqa: FBT003 - the default
        "GUARD_OTEL",
        "Whether to make OpenTelemetry spans; needs wsgi-guard[otel] and a tracer provider.",
    )  # fmt: skip


def specs() -> dict[str, Spec]:
    """Return the spec of every setting by its field name, in the order of the table."""
    return {each.name: each.metadata["spec"] for each in fields(Settings)}
